package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-genstage/genstage/examples/shards/internal/build"
)

// signals are interrupts and SIGTERM, while they are wanted.
type signals struct {
	c    chan os.Signal
	stop func()
}

func notifySignals() signals {
	c := make(chan os.Signal, 2)
	signal.Notify(c, os.Interrupt, syscall.SIGTERM)
	return signals{c: c, stop: func() { signal.Stop(c) }}
}

// interruptible returns a context that the first interrupt or SIGTERM ends.
func interruptible() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}

// showProgress writes a line about the build ten times a second over itself if w is a terminal, else once a second. The
// function that it returns ends that.
func showProgress(w io.Writer, meter *build.Meter) (stop func()) {
	every, form := time.Second, "%s\n"
	terminal := isTerminal(w)
	if terminal {
		every, form = 100*time.Millisecond, "\r\033[K%s"
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() { // ends with stop, which waits for it
		defer close(done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				fmt.Fprintf(w, form, meter.Progress())
			case <-quit:
				if terminal {
					fmt.Fprint(w, "\r\033[K")
				}
				return
			}
		}
	}()
	return func() { close(quit); <-done }
}

// isTerminal is not exact: it takes /dev/null for one, where it makes no difference.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
