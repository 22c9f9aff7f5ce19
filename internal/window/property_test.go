package window

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ops reads bytes as operations; when they have run out it reads zeroes.
type ops struct{ bytes []byte }

func (o *ops) next() int64 {
	if len(o.bytes) == 0 {
		return 0
	}
	b := o.bytes[0]
	o.bytes = o.bytes[1:]
	return int64(b)
}

// spec reads a spec of event time.
func (o *ops) spec() Spec {
	return Spec{
		Kind:     Fixed,
		Duration: time.Duration(1 + o.next()%20),
		Offset:   time.Duration(o.next() - 128),
		Disorder: time.Duration(o.next() % 4 * (o.next() % 10)),
		Lateness: time.Duration(o.next() % 3 * (o.next() % 30)),
		Idle:     time.Duration(o.next() % 2 * (1 + o.next()%40)),
		Every:    int(o.next() % 6),
		Interval: time.Duration(o.next() % 3 * (o.next() % 20)),
	}
}

// play does to an engine and to the model what the bytes say, and compares everything that comes out.
func play(t require.TestingT, data []byte) {
	o := &ops{data}
	spec := o.spec()
	m := newModel(spec)
	m.discard = o.next()%2 == 1
	var out []string
	var late []int
	firstTick := int64(-1)
	e, err := New(spec, Reducer[int, []int]{
		Init: func() []int { return nil },
		Add:  func(acc []int, id int) []int { return append(slices.Clone(acc), id) },
		Fire: func(p Pane[[]int]) []int {
			start := p.Window.Start.Sub(base).Nanoseconds()
			out = append(out, fmt.Sprint(start, p.Number, p.Timing, p.Trigger, p.Events, p.Acc))
			if m.discard {
				return nil
			}
			return p.Acc
		},
		Late: func(id int) { late = append(late, id) },
	})
	require.NoError(t, err)

	var sources []*Source
	addSource := func(now int64) {
		m.elapse(now)
		m.sources = append(m.sources, &modelSource{})
		sources = append(sources, e.AddSource(nil, at(now)))
	}
	for range 1 + o.next()%4 {
		addSource(0)
	}
	var now, head int64
	for id := 0; len(o.bytes) > 0; id++ {
		now += o.next() % 5
		i := int(o.next()) % len(sources)
		switch op := o.next(); {
		case op < 8:
			m.elapse(now)
			m.sources[i].gone = true
			e.EndSource(sources[i], at(now))
			m.settle()
		case op < 12:
			addSource(now)
		case op < 24:
			m.elapse(now)
			m.trigger("hello")
			m.tick = -1
			e.Message("hello", at(now))
		case op < 60:
			now += o.next()
			m.elapse(now)
			e.Advance(at(now))
		case op < 64:
			now = max(0, now-o.next()) // a clock that goes back
		default:
			if m.sources[i].gone {
				continue
			}
			head += op % 4
			if op == 255 {
				head += 100_000 * o.next()
			}
			when := head - o.next()%32
			m.add(m.sources[i], id, when, now, &firstTick)
			require.NoError(t, e.Add(sources[i], id, at(when), at(now)))
		}
		require.Equal(t, m.out, out, "%+v", spec)
		require.Equal(t, m.late, late, "%+v", spec)
		require.Len(t, m.sorted(), e.Open())
		if next, ok := e.Next(); ok {
			require.True(t, next.After(at(m.now)), "what is due by now has been done")
		}
	}
	m.finish()
	e.End()
	require.Equal(t, m.out, out, "%+v", spec)
	require.Zero(t, e.Open())
	require.EqualValues(t, len(m.late), e.Late())
}

func TestWindowsAgreeWithTheModel(t *testing.T) {
	seeds := uint64(10_000)
	if testing.Short() {
		seeds = 1000
	}
	var seed uint64
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	for ; seed < seeds; seed++ {
		r := rand.New(rand.NewPCG(seed, 1))
		data := make([]byte, 20+r.IntN(200))
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		play(t, data)
	}
}

func FuzzWindows(f *testing.F) {
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 2))
		data := make([]byte, 60)
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1000 {
			t.Skip("long inputs say nothing that short ones do not")
		}
		play(t, data)
	})
}
