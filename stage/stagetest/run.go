package stagetest

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
)

// madeAt names a probe by the place in the test where it is made: two calls up.
func madeAt(kind string) stage.Option {
	_, file, line, _ := runtime.Caller(2)
	return stage.Name(fmt.Sprintf("%s %s:%d", kind, filepath.Base(file), line))
}

// Run is a pipeline that runs beside a test; see [Start].
type Run struct {
	*stage.Pipeline
	t    testing.TB
	done chan struct{}
	err  error // written before done is closed
}

// Start runs the stages as one pipeline, on a goroutine of its own, and returns when every goroutine of the bubble is
// blocked: the stages have started, and done what they can. It has to be called in a synctest bubble.
//
// When the test ends, the pipeline is aborted if it still runs, waited for, and held against [Ledger]. That nothing of it
// stays behind is seen to by the bubble, which does not end before its goroutines have. How it has ended is not looked at: that is
// for [Run.ExpectEnd], or [Run.End].
func Start(t testing.TB, stages ...stage.Stage) *Run {
	t.Helper()
	r := &Run{Pipeline: stage.NewPipeline(stages...), t: t, done: make(chan struct{})}
	go func() { // ends with the pipeline, which Cleanup waits for
		defer close(r.done)
		r.err = r.Run(t.Context())
	}()
	t.Cleanup(func() {
		r.Abort(nil)
		_ = r.End()
		Ledger(t, r)
	})
	synctest.Wait()
	return r
}

// errNoEnd is why a pipeline is aborted that does not end.
var errNoEnd = errors.New("stagetest: the pipeline does not end")

// End blocks until the pipeline has ended, and returns what its Run has returned. It waits for an hour of the bubble's
// time; then it fails the test at once, with the Stats of the stages, and aborts the pipeline. It may be called again, and
// returns the same.
func (r *Run) End() error {
	r.t.Helper()
	hour := time.NewTimer(time.Hour)
	defer hour.Stop()
	select {
	case <-r.done:
		return r.err
	case <-hour.C:
		stats := r.Stats()
		r.Abort(errNoEnd)
		r.t.Fatalf("the pipeline does not end: %+v", stats)
		return errNoEnd
	}
}

// ExpectEnd fails the test unless the pipeline has ended, or ends within an hour of the bubble's time, with an error
// that is want, as errors.Is says; nil for a normal end.
func (r *Run) ExpectEnd(want error) {
	r.t.Helper()
	if err := r.End(); !errors.Is(err, want) {
		r.t.Errorf("the pipeline ended with %v, not %v", err, want)
	}
}

// ExpectRunning fails the test if the pipeline has ended.
func (r *Run) ExpectRunning() {
	r.t.Helper()
	synctest.Wait()
	select {
	case <-r.done:
		r.t.Errorf("the pipeline has ended: %v", r.err)
	default:
	}
}
