package budget

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// step is one operation on a ledger: who does what, and what is seen after it.
type step struct {
	op     string // "a+3": a asks for 3; "-3": 3 are released; "3>5": corrected; "limit 7"; "a leaves"
	ok     bool   // of an ask
	grants string // who is granted by it
	used   int64
	queue  string // who waits, in order
}

func TestAdmissions(t *testing.T) {
	for _, c := range []struct {
		name  string
		limit int64
		steps []step
	}{
		{"counted, up to the limit, then in order", 2, []step{
			{op: "a+1", ok: true, used: 1},
			{op: "a+1", ok: true, used: 2},
			{op: "a+1", used: 2, queue: "a"},
			{op: "b+1", used: 2, queue: "ab"},
			{op: "-1", grants: "a", used: 2, queue: "b"},
			{op: "a+1", ok: true, used: 2, queue: "b"}, // the grant
			{op: "a+1", used: 2, queue: "ba"},          // it waits at most once, behind b
			{op: "-1", grants: "b", used: 2, queue: "a"},
			{op: "-1", grants: "a", used: 2},
		}},
		{"a light one passes a heavy one, for one limit's worth", 10, []step{
			{op: "a+8", ok: true, used: 8},
			{op: "b+5", used: 8, queue: "b"},
			{op: "c+2", ok: true, used: 10, queue: "b"},
			{op: "-2", used: 8, queue: "b"},
			{op: "c+2", ok: true, used: 10, queue: "b"},
			{op: "-2", used: 8, queue: "b"},
			{op: "c+2", ok: true, used: 10, queue: "b"},
			{op: "-2", used: 8, queue: "b"},
			{op: "c+2", ok: true, used: 10, queue: "b"},
			{op: "-2", used: 8, queue: "b"},
			{op: "c+2", ok: true, used: 10, queue: "b"}, // ten in all
			{op: "-2", used: 8, queue: "b"},
			{op: "c+2", used: 8, queue: "bc"}, // b has reserved
			{op: "-8", grants: "bc", used: 7},
		}},
		{"those behind a heavy one are granted, as far as they may pass", 10, []step{
			{op: "a+10", ok: true, used: 10},
			{op: "b+9", used: 10, queue: "b"},
			{op: "c+4", used: 10, queue: "bc"},
			{op: "d+4", used: 10, queue: "bcd"},
			{op: "e+4", used: 10, queue: "bcde"},
			{op: "10>2", grants: "cd", used: 10, queue: "be"},
			{op: "-4", used: 6, queue: "be"}, // 8 have passed b: 4 more would be too much
			{op: "-4", used: 2, queue: "be"},
			{op: "-2", grants: "b", used: 9, queue: "e"},
			{op: "-9", grants: "e", used: 4},
		}},
		{"heavier than the limit goes alone", 10, []step{
			{op: "a+3", ok: true, used: 3},
			{op: "b+30", used: 3, queue: "b"},
			{op: "c+7", ok: true, used: 10, queue: "b"},
			{op: "-3", used: 7, queue: "b"},
			{op: "d+3", ok: true, used: 10, queue: "b"},
			{op: "-7", used: 3, queue: "b"},
			{op: "c+1", used: 3, queue: "bc"},
			{op: "-3", grants: "b", used: 30, queue: "c"},
			{op: "b+30", ok: true, used: 30, queue: "c"},
			{op: "-30", grants: "c", used: 1},
		}},
		{"overdraft is paid back first", 10, []step{
			{op: "a+5", ok: true, used: 5},
			{op: "5>14", used: 14},
			{op: "b+1", used: 14, queue: "b"},
			{op: "c+0", used: 14, queue: "bc"}, // counts as 1
			{op: "14>10", used: 10, queue: "bc"},
			{op: "10>9", grants: "b", used: 10, queue: "c"},
		}},
		{"the limit moves", 4, []step{
			{op: "a+4", ok: true, used: 4},
			{op: "b+2", used: 4, queue: "b"},
			{op: "limit 6", grants: "b", used: 6},
			{op: "limit 1", used: 6},
			{op: "c+1", used: 6, queue: "c"},
			{op: "-4", used: 2, queue: "c"},
			{op: "-2", grants: "c", used: 1},
		}},
		{"a grant for another weight", 10, []step{
			{op: "a+10", ok: true, used: 10},
			{op: "b+4", used: 10, queue: "b"},
			{op: "c+6", used: 10, queue: "bc"},
			{op: "-10", grants: "bc", used: 10},
			{op: "b+2", ok: true, used: 8}, // less: 2 are free again
			{op: "d+3", used: 8, queue: "d"},
			{op: "c+9", grants: "d", used: 5, queue: "c"}, // more: it waits in front, and d passes it
			{op: "e+5", ok: true, used: 10, queue: "c"},
			{op: "-2", used: 8, queue: "c"},
			{op: "e+2", ok: true, used: 10, queue: "c"}, // 3, 5 and 2 have passed c
			{op: "-5", used: 5, queue: "c"},
			{op: "e+1", used: 5, queue: "ce"},
		}},
		{"leaving", 3, []step{
			{op: "a+3", ok: true, used: 3},
			{op: "b+3", used: 3, queue: "b"},
			{op: "c+1", used: 3, queue: "bc"},
			{op: "b leaves", used: 3, queue: "c"},
			{op: "d+3", used: 3, queue: "cd"},
			{op: "-3", grants: "c", used: 1, queue: "d"},
			{op: "c leaves", grants: "d", used: 3},
			{op: "a leaves", used: 3}, // it does not wait
		}},
		{"beyond any limit", Max, []step{
			{op: "a+9223372036854775807", ok: true, used: Max + 1},
			{op: "b+9223372036854775807", used: Max + 1, queue: "b"},
			{op: fmt.Sprint("-", Max+1), grants: "b", used: Max + 1},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := New(c.limit)
			who := map[string]*Waiter{}
			names := func(list []*Waiter) string {
				var b strings.Builder
				for _, w := range list {
					for name, other := range who {
						if w == other {
							b.WriteString(name)
						}
					}
				}
				return b.String()
			}
			for i, s := range c.steps {
				at := fmt.Sprintf("step %d: %s", i, s.op)
				var ok bool
				var granted []*Waiter
				var name string
				var n, m int64
				switch {
				case strings.HasSuffix(s.op, " leaves"):
					granted = l.Leave(who[s.op[:1]])
				case strings.HasPrefix(s.op, "limit "):
					_, _ = fmt.Sscanf(s.op, "limit %d", &n)
					granted = l.SetLimit(n)
				case strings.Contains(s.op, ">"):
					_, _ = fmt.Sscanf(s.op, "%d>%d", &n, &m)
					granted = l.Correct(n, m)
				case s.op[0] == '-':
					_, _ = fmt.Sscanf(s.op[1:], "%d", &n)
					granted = l.Release(n)
				default:
					name = s.op[:1]
					_, _ = fmt.Sscanf(s.op[2:], "%d", &n)
					if who[name] == nil {
						who[name] = &Waiter{}
					}
					ok, granted = l.Admit(who[name], Clamp(n))
				}
				require.Equal(t, s.ok, ok, at)
				require.Equal(t, s.grants, names(granted), at)
				require.Equal(t, s.used, l.Used(), at)
				require.Equal(t, s.queue, names(l.Waiting()), at)
			}
		})
	}
}

// FuzzLedger reads bytes as operations, and holds what is admitted against the rules.
func FuzzLedger(f *testing.F) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		data := make([]byte, 200)
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l := New(10)
		waiters := make([]Waiter, 5)
		inUse := []int64{}
		var grants int64 // weight of grants not used
		account := func(granted []*Waiter) {
			for _, w := range granted {
				grants += w.Weight()
				require.True(t, w.Granted())
			}
		}
		for ; len(data) >= 2; data = data[2:] {
			w := &waiters[int(data[1]>>4)%len(waiters)]
			n := max(1, int64(data[1]&15))
			switch data[0] % 6 {
			case 0, 1, 2:
				had := int64(0)
				if w.Granted() {
					had = w.Weight()
				}
				ok, granted := l.Admit(w, n)
				grants -= had
				if ok {
					inUse = append(inUse, n)
				}
				account(granted)
			case 3:
				if len(inUse) > 0 {
					i := int(n) % len(inUse)
					weight := inUse[i]
					inUse = slices.Delete(inUse, i, i+1)
					account(l.Release(weight))
				}
			case 4:
				if len(inUse) > 0 {
					i := int(data[0]) % len(inUse)
					granted := l.Correct(inUse[i], n)
					inUse[i] = n
					account(granted)
				}
			case 5:
				if n > 12 {
					account(l.SetLimit(1 + n))
				} else {
					if w.Granted() {
						grants -= w.Weight()
					}
					account(l.Leave(w))
				}
			}
			sum := grants
			for _, weight := range inUse {
				sum += weight
			}
			require.Equal(t, sum, l.Used(), "what is in use and granted")
			for i, q := range l.Waiting() {
				require.True(t, q.waiting)
				require.False(t, q.Granted())
				if i == 0 {
					require.False(t, l.fits(q.Weight()), "the first one waits for %d of %d, %d in use", q.Weight(), l.Limit(), l.Used())
				}
				require.LessOrEqual(t, q.passed, l.queue[0].passed, "the first one has been passed most")
			}
		}
		// All that is in use comes back: then all who wait are granted, one after the other.
		for range 100 {
			for _, weight := range inUse {
				account(l.Release(weight))
			}
			inUse = inUse[:0]
			for i := range waiters {
				if w := &waiters[i]; w.Granted() {
					weight := w.Weight()
					ok, granted := l.Admit(w, weight)
					require.True(t, ok, "a grant is good for its weight")
					grants -= weight
					account(granted)
					inUse = append(inUse, weight)
				}
			}
		}
		require.Empty(t, l.Waiting())
		require.Zero(t, l.Used())
	})
}

// A heavy one among a stream of light ones is admitted after one limit's worth of them at the latest.
func TestNobodyStarves(t *testing.T) {
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 3))
		limit := 1 + random.Int64N(50)
		l := New(limit)
		var heavy Waiter
		lights := make([]Waiter, 8)
		var inUse []int64
		for range 200 { // until it is busy
			w := &lights[random.IntN(len(lights))]
			if n := 1 + random.Int64N(max(1, limit/4)); !w.waiting {
				if ok, _ := l.Admit(w, n); ok {
					inUse = append(inUse, n)
				}
			}
		}
		want := 1 + random.Int64N(2*limit)
		ok, _ := l.Admit(&heavy, want)
		var behind int64
		for steps := 0; !ok && !heavy.Granted(); steps++ {
			require.Less(t, steps, 100_000, "seed %d", seed)
			if len(inUse) > 0 && random.IntN(2) == 0 {
				i := random.IntN(len(inUse))
				weight := inUse[i]
				inUse = slices.Delete(inUse, i, i+1)
				_ = l.Release(weight)
				continue
			}
			w := &lights[random.IntN(len(lights))]
			n := 1 + random.Int64N(max(1, limit/4))
			had := w.Granted()
			if w.waiting {
				continue
			}
			if had {
				n = w.Weight()
			}
			if admitted, _ := l.Admit(w, n); admitted {
				inUse = append(inUse, n)
				if !had {
					behind += n
				}
			}
		}
		require.LessOrEqual(t, behind, limit, "seed %d: passed by more than one limit's worth", seed)
	}
}

func TestClamp(t *testing.T) {
	require.EqualValues(t, 1, Clamp(math.MinInt64))
	require.EqualValues(t, 1, Clamp(0))
	require.EqualValues(t, Max, Clamp(Max))
	require.EqualValues(t, Max+1, Clamp(math.MaxInt64))
}

func BenchmarkLedger(b *testing.B) {
	l := New(1000)
	var w Waiter
	b.ReportAllocs()
	for b.Loop() {
		_, _ = l.Admit(&w, 3)
		_ = l.Release(3)
	}
}
