package stage_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// T13: any value for any option of any kind of stage. Pass: what is out of range comes back from Run as ErrInvalidOption
// and names the option; what is not runs to the end.

// dial makes option values of bytes: those at the edges of ranges, and now and then any.
type dial struct {
	data   []byte
	wrong  []string // what is out of range, as the error names it
	chosen []string
}

func (d *dial) next() byte {
	if len(d.data) == 0 {
		return 0
	}
	b := d.data[0]
	d.data = d.data[1:]
	return b
}

// number returns one, and the text that names it.
func (d *dial) number() int {
	edges := []int{1, 2, 5, 100, 1000, math.MaxInt, 0, -1, -2, math.MinInt}
	b := d.next()
	if int(b) < 200 {
		return edges[int(b)%6]
	}
	return edges[int(b)%len(edges)]
}

func (d *dial) duration() time.Duration { return time.Duration(d.number()) }

// use takes an option, and notes it if it is out of range.
func (d *dial) use(ok bool, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	d.chosen = append(d.chosen, text)
	if !ok {
		d.wrong = append(d.wrong, text)
	}
}

func (d *dial) buffer() stage.OutputOption {
	n := d.number()
	d.use(n >= stage.Unlimited, "BufferSize(%d)", n)
	return stage.BufferSize(n)
}

func (d *dial) hook() (opts []stage.Option) {
	if d.next() > 250 {
		d.use(false, "OnInit(nil)")
		opts = append(opts, stage.OnInit(nil))
	}
	if d.next() > 250 {
		d.use(false, `Name("")`)
		opts = append(opts, stage.Name(""))
	}
	return opts
}

// producer makes one of three events.
func (d *dial) producer() (s stage.Stage, src stage.Source[int]) {
	var opts []stage.ProducerOption
	for _, o := range d.hook() {
		opts = append(opts, o)
	}
	if d.next()%2 == 0 {
		opts = append(opts, d.buffer())
	}
	if d.next()%2 == 0 {
		opts = append(opts, stage.KeepFirst())
	}
	switch d.next() % 3 {
	case 0:
		p := stage.FromSlice(upTo(3), opts...)
		return p, p
	case 1:
		first, longest := d.duration(), d.duration()
		d.use(first > 0 && longest >= first, "PollEvery(%v, %v)", first, longest)
		p := stage.Poll(func(context.Context, int) ([]int, error) { return upTo(1), stage.ErrDone }, append(opts, stage.PollEvery(first, longest))...)
		return p, p
	default:
		n := d.number()
		d.use(n >= 1, "NewQueue(%d)", n)
		q := stage.NewQueue[int](n, opts...)
		q.Close()
		return q, q
	}
}

func (d *dial) subscription(supervisor bool) []stage.SubscribeOption {
	most, least := d.number(), d.number()
	opts := []stage.SubscribeOption{stage.MaxDemand(most)}
	d.use(most >= 1, "MaxDemand(%d)", most)
	if d.next()%2 == 0 {
		d.use(least >= 0 && least < most, "MinDemand(%d)", least)
		opts = append(opts, stage.MinDemand(least))
	}
	if mode := d.next(); mode > 150 {
		mode -= 148 // from 3
		d.use(false, "Cancel(%d)", mode)
		opts = append(opts, stage.Cancel(stage.CancelMode(mode)))
	}
	if supervisor && d.next() > 250 {
		d.use(false, "Manual")
		opts = append(opts, stage.Manual())
	}
	return opts
}

func (d *dial) consumer(src stage.Source[int]) stage.Stage {
	hooks := d.hook()
	if d.next()%2 == 0 {
		var opts []stage.ConsumerOption
		for _, o := range hooks {
			opts = append(opts, o)
		}
		c := stage.ForEach(func(context.Context, int) error { return nil }, opts...)
		c.SubscribeTo(src, d.subscription(false)...)
		return c
	}
	var opts []stage.ConsumerSupervisorOption
	for _, o := range hooks {
		opts = append(opts, o)
	}
	mode := []stage.RestartMode{stage.RestartTemporary, stage.RestartTransient, stage.RestartTransient, 200}[d.next()%4]
	d.use(mode != 200, "Restart(%d)", mode)
	opts = append(opts, stage.Restart(mode))
	if d.next()%2 == 0 {
		n := d.number()
		d.use(n >= 1 && mode == stage.RestartTransient, "MaxAttempts(%d)", n)
		opts = append(opts, stage.MaxAttempts(n))
	}
	if d.next()%2 == 0 {
		n, within := d.number(), d.duration()
		d.use(n >= 0 && within > 0, "MaxRestarts(%d, %v)", n, within)
		opts = append(opts, stage.MaxRestarts(n, within))
	}
	if d.next()%2 == 0 {
		first, longest := d.duration(), d.duration()
		d.use(first > 0 && longest >= first, "Backoff(%v, %v)", first, longest)
		opts = append(opts, stage.Backoff(first, longest))
	}
	s := stage.NewConsumerSupervisor(func(context.Context, int) error { return nil }, opts...)
	s.SubscribeTo(src, d.subscription(true)...)
	return s
}

func playOptions(t *testing.T, data []byte) {
	synctest.Test(t, func(t *testing.T) {
		d := &dial{data: data}
		p, src := d.producer()
		stages := []stage.Stage{p}
		if d.next()%2 == 0 {
			var opts []stage.ProducerConsumerOption
			for _, o := range d.hook() {
				opts = append(opts, o)
			}
			mid := relay(0, append(opts, d.buffer())...)
			mid.SubscribeTo(src, d.subscription(false)...)
			src, stages = mid, append(stages, mid)
		}
		stages = append(stages, d.consumer(src))
		err := stage.Run(t.Context(), stages...)
		if len(d.wrong) == 0 {
			require.NoError(t, err, "%v", d.chosen)
			ledger(t, stages...)
			return
		}
		require.ErrorIs(t, err, stage.ErrInvalidOption, "%v", d.chosen)
		named := slices.ContainsFunc(d.wrong, func(w string) bool { return strings.Contains(err.Error(), w) })
		require.True(t, named, "%v does not name one of %v", err, d.wrong)
		require.False(t, errors.As(err, new(*stage.PanicError)))
		for _, s := range stages {
			require.Zero(t, s.Stats().Input.Received+s.Stats().Output.Emitted, "nothing runs")
		}
	})
}

func FuzzOptions(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 1, 1, 1, 0})
	f.Add([]byte{0, 0, 0, 209, 0, 0, 1, 0, 0, 251, 0, 1, 1, 1, 0})
	f.Fuzz(playOptions)
}

func TestOptionsOfAnyValue(t *testing.T) {
	n := testkit.Rounds(20_000, 1_000_000)
	for seed := range uint64(n) {
		random := rand.New(rand.NewPCG(seed, 13))
		data := make([]byte, 50)
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		playOptions(t, data)
		require.False(t, t.Failed(), "seed %d", seed)
	}
	testkit.Report(t, "T13", n)
}
