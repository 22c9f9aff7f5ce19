package flow_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/go-genstage/genstage/flow"
	"github.com/go-genstage/genstage/stage"
)

// An error that means a normal end to a stage is a failure when it comes from a sequence or a reader, and what else it wraps is found in it.
func TestErrorsOfSourcesAreFailures(t *testing.T) {
	cause := errors.New("the disk is gone")
	for _, normal := range []error{stage.ErrDone, stage.ErrShutdown} {
		bad := fmt.Errorf("%w: %w", normal, cause)
		synctest.Test(t, func(t *testing.T) {
			got, err := flow.FromSeq2(func(yield func(int, error) bool) { _ = yield(1, nil) && yield(0, bad) }).Collect(t.Context())
			require.ErrorIs(t, err, cause)
			require.Nil(t, got)

			lines, err := flow.Lines(io.MultiReader(strings.NewReader("a\nb\n"), iotest.ErrReader(bad))).Collect(t.Context())
			require.ErrorIs(t, err, cause)
			require.Nil(t, lines)
		})
	}
}

func TestIntoWithoutConsumersIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		require.ErrorIs(t, flow.Into(flow.FromSlice([]int{1})).Run(t.Context()), stage.ErrInvalidOption)
	})
}
