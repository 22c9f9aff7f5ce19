package mailbox

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type letter struct{ sender, number int }

func newBox[M any]() *Box[M] {
	b := new(Box[M])
	b.Init()
	return b
}

func TestTakeReturnsWhatWasPostedInOrder(t *testing.T) {
	b := newBox[int]()
	require.Empty(t, b.Take(nil), "nothing was posted")
	var batch []int
	for round := range 3 {
		for i := range 10 {
			require.True(t, b.Post(round*10+i))
			require.Equal(t, i+1, b.Len())
		}
		batch = b.Take(batch)
		require.Len(t, batch, 10)
		for i, m := range batch {
			require.Equal(t, round*10+i, m)
		}
		require.Zero(t, b.Len())
	}
	require.Empty(t, b.Take(batch))
}

func TestCloseReturnsTheRestOnceAndRefusesAfterwards(t *testing.T) {
	b := newBox[string]()
	require.True(t, b.Post("taken"))
	require.Equal(t, []string{"taken"}, b.Take(nil))
	require.True(t, b.Post("left"))
	require.True(t, b.Post("behind"))
	require.Equal(t, []string{"left", "behind"}, b.Close())
	require.Nil(t, b.Close(), "the rest is handed over once")
	require.False(t, b.Post("late"))
	require.Zero(t, b.Len())
	require.Empty(t, b.Take(nil), "nothing comes after Close")
	require.Nil(t, b.Close())
	b.Ring()
	<-b.Bell() // a closed box still rings
}

func TestCloseOfAnEmptyBoxReturnsNil(t *testing.T) {
	b := newBox[int]()
	b.Post(1)
	b.Take(b.Take(nil)) // storage without messages
	require.Nil(t, b.Close())
}

func TestOneWakeForAllThatIsPostedBeforeTheReaderIsBack(t *testing.T) {
	b := newBox[int]()
	for i := range 100 {
		b.Post(i)
	}
	require.EqualValues(t, 1, b.Wakes())
	batch := b.Take(nil) // the reader looked before it answered the bell
	b.Post(100)
	require.EqualValues(t, 1, b.Wakes(), "the first ring is not answered yet")
	<-b.Bell()
	b.Take(batch)
	b.Post(101)
	require.EqualValues(t, 2, b.Wakes())
	<-b.Bell()
	b.Post(102)
	requireSilent(t, b, "the reader answered, and will take both")

	b.Ring()
	b.Ring()
	require.EqualValues(t, 2, b.Wakes(), "only posts are counted")
	<-b.Bell()
	requireSilent(t, b, "unanswered rings are one")
}

func requireSilent[M any](t *testing.T, b *Box[M], why string) {
	t.Helper()
	select {
	case <-b.Bell():
		require.Fail(t, "the bell rang", why)
	default:
	}
}

func TestAtMostOneWakePerMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox[int]()
		end := make(chan struct{})
		done := make(chan struct{})
		var handled atomic.Int64
		go func() { // ends with end
			defer close(done)
			read(b, end, func(int) { handled.Add(1) })
		}()
		for i := range 50 {
			synctest.Wait() // the reader is parked
			b.Post(i)
		}
		synctest.Wait()
		require.EqualValues(t, 50, handled.Load())
		require.EqualValues(t, 50, b.Wakes(), "one each, as it was parked each time")
		close(end)
		<-done
	})
}

// read is the reader's loop, until end is closed.
func read[M any](b *Box[M], end <-chan struct{}, handle func(M)) {
	var batch []M
	for {
		batch = b.Take(batch)
		for _, m := range batch {
			handle(m)
		}
		if len(batch) > 0 {
			continue
		}
		select {
		case <-b.Bell():
		case <-end:
			return
		}
	}
}

func TestReaderParksDurably(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox[int]()
		end := make(chan struct{})
		var looks, sum atomic.Int64
		done := make(chan struct{})
		go func() { // ends with end
			defer close(done)
			var batch []int
			for {
				batch = b.Take(batch)
				looks.Add(1)
				for _, m := range batch {
					sum.Add(int64(m))
				}
				select {
				case <-b.Bell():
				case <-end:
					return
				}
			}
		}()
		synctest.Wait() // returns only because the reader is durably blocked
		require.EqualValues(t, 1, looks.Load())
		b.Post(7)
		synctest.Wait()
		require.EqualValues(t, 7, sum.Load())
		require.EqualValues(t, 2, looks.Load())
		b.Ring()
		synctest.Wait()
		require.EqualValues(t, 3, looks.Load(), "a ring without a message makes it look again")
		require.EqualValues(t, 7, sum.Load())
		close(end)
		<-done
	})
}

func TestEveryAcceptedMessageIsTakenOrLeft(t *testing.T) {
	const senders, each = 8, 2000
	for _, closeAfter := range []int{0, 1, senders * each / 2, senders * each} {
		t.Run(fmt.Sprint(closeAfter), func(t *testing.T) {
			b := newBox[letter]()
			var accepted [senders]int // each written by its sender, read after wg
			var wg sync.WaitGroup
			for s := range senders {
				wg.Go(func() { // ends after each posts
					for i := range each {
						if !b.Post(letter{s, i}) {
							continue // refused from now on: accepted must not grow again
						}
						accepted[s] = i + 1
					}
				})
			}
			var got []letter
			var batch []letter
			for len(got) < closeAfter {
				if batch = b.Take(batch); len(batch) == 0 {
					<-b.Bell() // a lost wake would hang here
				}
				got = append(got, batch...)
			}
			got = append(got, b.Close()...)
			wg.Wait()
			require.Nil(t, b.Close())
			require.Empty(t, b.Take(nil))

			var next [senders]int
			for _, m := range got {
				require.Equal(t, next[m.sender], m.number, "in the sender's order, none missing, none twice")
				next[m.sender]++
			}
			require.Equal(t, accepted, next, "accepted = taken + left")
			require.LessOrEqual(t, b.Wakes(), uint64(len(got)))
		})
	}
}

func TestAQuietMessageDoesNotWakeAReaderThatRests(t *testing.T) {
	b := newBox[int]()
	require.True(t, b.PostQuiet(1))
	<-b.Bell() // it does not rest
	require.Equal(t, []int{1}, b.Take(nil))

	b.Rest(math.MaxInt)
	require.True(t, b.PostQuiet(2))
	require.True(t, b.PostQuiet(3))
	requireSilent(t, b, "it rests")
	require.EqualValues(t, 1, b.Wakes())
	require.Equal(t, 2, b.Len())
	b.Post(4)
	<-b.Bell()
	require.EqualValues(t, 2, b.Wakes(), "one for all three")
	b.Post(5)
	b.PostQuiet(6)
	requireSilent(t, b, "it has been woken, and will take them")
	require.Equal(t, []int{2, 3, 4, 5, 6}, b.Take(nil), "in order")

	b.PostQuiet(7)
	<-b.Bell() // a Take ends the rest
	b.Take(nil)
	b.Rest(math.MaxInt)
	b.PostQuiet(8)
	b.Ring()
	<-b.Bell()
	require.Equal(t, []int{8}, b.Take(nil), "a ring without a message")
	b.Rest(math.MaxInt)
	b.PostQuiet(9)
	require.Equal(t, []int{9}, b.Close())
	require.False(t, b.PostQuiet(10))
}

func TestARestOfAFewQuietMessages(t *testing.T) {
	b := newBox[int]()
	b.Rest(2)
	b.PostQuiet(1)
	b.PostQuiet(2)
	requireSilent(t, b, "two can wait")
	b.PostQuiet(3)
	<-b.Bell()
	b.PostQuiet(4)
	requireSilent(t, b, "it has been woken")
	require.Equal(t, []int{1, 2, 3, 4}, b.Take(nil))
	b.PostQuiet(5)
	<-b.Bell() // a Take ends the rest
	b.Take(nil)

	b.Rest(2)
	b.Post(6)
	<-b.Bell()
	require.Equal(t, []int{6}, b.Take(nil))
}

// Loud messages of many senders are never left lying, however quiet ones and rests come between them.
func TestARestLosesNoWake(t *testing.T) {
	const senders, each = 4, 1000
	b := newBox[letter]()
	for s := range senders {
		go func() { // ends after each posts; the reader waits for its last one
			for i := range each {
				if i%3 == s%3 {
					b.PostQuiet(letter{s, i})
				} else {
					b.Post(letter{s, i})
				}
			}
			b.Post(letter{s, each})
		}()
	}
	var next [senders]int
	var batch []letter
	for done := 0; done < senders; {
		b.Rest(math.MaxInt)
		<-b.Bell() // a lost wake would hang here
		batch = b.Take(batch)
		for _, m := range batch {
			require.Equal(t, next[m.sender], m.number)
			if next[m.sender]++; m.number == each {
				done++
			}
		}
	}
}

func TestTakeClearsAndReusesStorage(t *testing.T) {
	b := newBox[*int]()
	b.Post(new(int))
	first := b.Take(nil)
	b.Take(first)
	require.Nil(t, first[0], "a handled message is not kept alive")

	ints := newBox[int]()
	var batch []int
	require.Zero(t, testing.AllocsPerRun(100, func() {
		for i := range 64 {
			ints.Post(i)
		}
		batch = ints.Take(batch)
	}))
}

func TestABurstDoesNotKeepItsStorage(t *testing.T) {
	b := newBox[int]()
	for i := range 100 * keptStorage {
		b.Post(i)
	}
	batch := b.Take(nil)
	for range 4 {
		b.Post(1)
		batch = b.Take(batch)
		require.Len(t, batch, 1)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	require.LessOrEqual(t, cap(b.queue), keptStorage)
	require.LessOrEqual(t, cap(batch), keptStorage)
}

const benchRound = 1024

// benchSenders lets senders goroutines send benchRound messages per round and
// waits until consume has read them all.
func benchSenders(b *testing.B, senders int, send func(int), consume func(n int)) {
	b.ReportAllocs()
	var wg sync.WaitGroup
	start := make([]chan struct{}, senders)
	for s := range start {
		start[s] = make(chan struct{}, 1)
		wg.Go(func() { // ends when its start is closed
			for range start[s] {
				for i := range benchRound / senders {
					send(i)
				}
			}
		})
	}
	rounds := 0
	for b.Loop() {
		for _, c := range start {
			c <- struct{}{}
		}
		consume(benchRound)
		rounds++
	}
	for _, c := range start {
		close(c)
	}
	wg.Wait()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rounds*benchRound), "ns/message")
}

func BenchmarkMessages(b *testing.B) {
	for _, senders := range []int{1, 4} {
		b.Run(fmt.Sprintf("box/senders=%d", senders), func(b *testing.B) {
			box := newBox[int]()
			var batch []int
			benchSenders(b, senders, func(i int) { box.Post(i) }, func(n int) {
				for n > 0 {
					if batch = box.Take(batch); len(batch) == 0 {
						<-box.Bell()
					}
					n -= len(batch)
				}
			})
		})
		b.Run(fmt.Sprintf("channel/senders=%d", senders), func(b *testing.B) {
			c := make(chan int, benchRound)
			benchSenders(b, senders, func(i int) { c <- i }, func(n int) {
				for range n {
					<-c
				}
			})
		})
	}
}

// BenchmarkPostTake is the bare cost, without waking anyone.
func BenchmarkPostTake(b *testing.B) {
	b.Run("box", func(b *testing.B) {
		b.ReportAllocs()
		box := newBox[int]()
		var batch []int
		for i := 0; b.Loop(); i++ {
			box.Post(i)
			if i%64 == 63 {
				batch = box.Take(batch)
			}
		}
	})
	b.Run("channel", func(b *testing.B) {
		b.ReportAllocs()
		c := make(chan int, 64)
		for i := 0; b.Loop(); i++ {
			c <- i
			if i%64 == 63 {
				for range 64 {
					<-c
				}
			}
		}
	})
}
