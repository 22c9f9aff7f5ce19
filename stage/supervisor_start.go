package stage

import (
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/go-genstage/genstage/internal/hop"
)

// start starts members again, in phases like those of a pipeline: the mailboxes open; OnInit, in order; declared
// subscriptions; and when all of those are answered, demand callbacks. Only for OnInit it waits: a producer may be
// busy for long before it answers.
func (r *supervision) start(list []int) {
	begun, replaced := r.openAll(list)
	var up []*scope
	for n, s := range begun {
		if _, halted := r.phase(); halted || r.plan.toStop() >= 0 { // they are to be stopped, as another one could not be opened
			endAll(begun[n:], endedBy(r.name(), ErrShutdown, r.parent.tenure))
			break
		}
		if failed := s.initialize(r.turn); failed == nil {
			r.members[s.tenure.keeping.index].failed = nil
			up = append(up, s)
		} else if r.plan.strategy != OneForOne && s.tenure.keeping.mode.restarts(failed) { // else they go on without it
			r.holdBack(begun[n+1:], s.tenure.keeping.index)
			break
		}
		r.turn()
	}
	for _, s := range up {
		s.connect()
	}
	r.starts.Add(1)
	go r.releaseAll(begun, up, replaced, hop.Join(r.ctx, r.name())) // ends when all are connected or have ended; conclude waits for it
}

// holdBack ends runs that are not to begin as a member has failed to start: they are started along with that again, or without it if
// it turns out to have been shut down. It is not waited for, since its OnTerminate may wait for one of them.
func (r *supervision) holdBack(runs []*scope, failed int) {
	for _, s := range runs {
		i := s.tenure.keeping.index
		r.members[i].behind = &r.members[failed]
		r.plan.members[i].state = memberStopping
	}
	r.mark()
	endAll(runs, endedBy(r.name(), ErrShutdown, r.parent.tenure))
}

// openAll opens the mailboxes of members that are started again.
func (r *supervision) openAll(list []int) (begun []*scope, replaced []Stage) {
	for _, i := range list {
		if _, halted := r.phase(); halted || r.plan.exceeded {
			break
		}
		m := &r.members[i]
		old := m.stage
		err := r.openMember(i)
		r.noteRestart(m)
		if old != m.stage {
			replaced = append(replaced, old)
		}
		if err != nil {
			r.plan.started(i, time.Now())
			_, halted := r.phase() // meanwhile
			r.judge(i, &ending{reason: err, root: &tenure{keeping: m.keeping, outer: r.parent.tenure}}, halted)
			if r.plan.strategy != OneForOne {
				break
			}
			continue
		}
		begun = append(begun, m.run)
	}
	return begun, replaced
}

// noteRestart counts a restart and logs it.
func (r *supervision) noteRestart(m *keptMember) {
	var cause error // nil: of a permanent one, or one that is started along with another
	if m.failed != nil {
		cause = m.failed.reason
	}
	r.mu.Lock()
	r.restarts++
	r.mu.Unlock()
	level := slog.LevelWarn
	var panicked *PanicError
	if errors.As(cause, &panicked) {
		level = slog.LevelError
	}
	about := []any{"stage", r.name(), "member", m.stage.Name()}
	if cause != nil {
		about = append(about, "cause", cause)
	}
	r.log(level, "stage: a member of a supervisor is started again", about...)
}

// endAll ends runs that are not to begin.
func endAll(runs []*scope, e *ending) {
	for _, s := range runs {
		s.abort(e)
	}
}

// releaseAll ends the start of members, when their declared subscriptions are answered. What factories had made before
// is given up only when those that did not come so far have ended as well: who expected it expects the new one.
func (r *supervision) releaseAll(begun, up []*scope, replaced []Stage, wait func()) {
	defer r.starts.Done()
	await := func(s *scope) {
		s.awaitConnected()
		if wait != nil {
			wait()
		}
	}
	for _, s := range up {
		await(s)
	}
	for _, s := range up {
		s.release()
	}
	for _, s := range begun {
		if !slices.Contains(up, s) {
			await(s)
		}
	}
	for _, s := range replaced {
		forsake(s, true)
	}
}
