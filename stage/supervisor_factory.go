package stage

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/go-genstage/genstage/internal/goid"
)

// The functions of the user's that a supervision calls: of AddFunc, and the log handler. Each is called on a goroutine
// of its own, as it may not return: then it is abandoned when Grace is over, and the supervision goes on without it.

// stageOf returns the stage that a member is, or what its factory makes.
func (r *supervision) stageOf(m *keptMember) (Stage, error) {
	if m.spec.stage != nil {
		return m.spec.stage, nil
	}
	var stage Stage // written before apart returns nil, or by who was abandoned
	err := r.apart("AddFunc", func() { stage = m.spec.fresh() })
	if err == nil {
		stage = realOf(stage)
		err = r.expect(m, stage)
	}
	if err != nil {
		return nil, &Error{Stage: r.name(), Err: fmt.Errorf("%s: AddFunc: %w", m.spec.site, err)}
	}
	return stage, nil
}

// expect has what a factory made count as a member while its mailbox opens.
func (r *supervision) expect(m *keptMember, stage Stage) error {
	nesting.Lock()
	defer nesting.Unlock()
	if stage == nil || holds(stage, r.sup) {
		return fmt.Errorf("%w: a factory returned nil, or the supervisor itself", ErrInvalidStage)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m.opening = stage
	return nil
}

func (r *supervision) log(level slog.Level, msg string, args ...any) {
	if r.loggerGone.Load() {
		return
	}
	logger := r.sup.conf.logger
	if logger == nil {
		logger = slog.Default()
	}
	err := r.apart("Logger", func() { logger.Log(context.Background(), level, msg, args...) })
	if stuck := stuckIn(err); stuck != nil {
		r.loggerGone.Store(true)
		r.nameStuck(&ending{reason: err})
	}
}

// apart calls a function of the user's, and waits for it. It returns what it panicked with, or a [*StuckError].
func (r *supervision) apart(callback string, fn func()) (err error) {
	e, done := &errand{}, make(chan struct{})
	r.setCalling(callback)
	defer r.setCalling("")
	go func() { // ends with fn; apart waits for it, or abandons it
		returned := false
		before := r.aside.Swap(goid.Current())
		defer func() {
			failed := failed(returned, recover(), r.name(), callback)
			if !e.back() {
				r.sup.returnedLate(e)
				return
			}
			r.aside.Store(before)
			err = failed
			close(done)
		}()
		fn()
		returned = true
	}()
	if stuck := r.await(e, done, callback); stuck != nil {
		return &StuckError{Stuck: []Stuck{*stuck}}
	}
	return err
}

// await waits for what apart calls, which closes done behind back. It gives it up, and says as what, when Grace is over:
// since the end of the context, Abort or Stop, and since it was called.
func (r *supervision) await(e *errand, done <-chan struct{}, callback string) *Stuck {
	select {
	case <-done:
		return nil
	case <-r.halted:
	case <-r.ctx.Done():
	}
	timer := time.NewTimer(r.sup.conf.grace)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-timer.C:
	}
	if stuck := r.sup.abandon(e, Stuck{Stage: r.name(), Callback: callback}); stuck != nil {
		r.aside.Store(0)
		return stuck
	}
	<-done // it has just returned
	return nil
}

// setCalling notes what apart calls, "" for nothing.
func (r *supervision) setCalling(callback string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calling = callback
}

// abandon names what is given up; nil if it has returned.
func (s *Supervisor) abandon(e *errand, what Stuck) *Stuck {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !e.state.CompareAndSwap(errandGone, errandAbandoned) {
		return nil
	}
	what.Since = time.Now()
	e.stuck = &what
	s.stuck = append(s.stuck, e.stuck)
	return &what
}

// returnedLate forgets what was given up, and has returned.
func (s *Supervisor) returnedLate(e *errand) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stuck = slices.DeleteFunc(s.stuck, func(other *Stuck) bool { return other == e.stuck })
}

// stuckNow returns what was given up and has not returned. The caller holds mu.
func (s *Supervisor) stuckNow() (list []Stuck) {
	for _, one := range s.stuck {
		list = append(list, *one)
	}
	return list
}
