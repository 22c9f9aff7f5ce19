package stage

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
)

// DefaultMaxLine is the longest line, in bytes, of a [Lines] without [MaxLine].
const DefaultMaxLine = 1 << 20

// Lines makes a producer of the lines of a reader, without their ends ("\n" or "\r\n"), that
// completes at the end of the reader; a last line without an end counts. A line longer than
// [MaxLine] ends the producer with an error that wraps [bufio.ErrTooLong], and an error of the
// reader with that error; both name the number of the line, and the lines before it are emitted.
//
// The reader is read on a goroutine of its own, in blocks, and only while subscribers wait for
// lines; each line goes on its way when it is read. So a Read that blocks keeps nothing but
// the next line back: Do, Stop and Abort are served. But the run ends only when that Read has
// returned, since nothing can interrupt it, or is abandoned ([Grace]): a reader that may block for ever, such as a
// connection, is to be closed by [OnTerminate], which is called before. (Its error is then of no
// consequence.) What an abandoned Read brings later is for the next run.
//
// Each run reads on with the first line that was not emitted, and line numbers go on. For that the
// stage keeps what it has read ahead: nobody else should read on from the reader.
//
// Lines panics if the reader is nil.
func Lines(r io.Reader, opts ...ProducerOption) *Producer[string] {
	if r == nil {
		panic("stage: Lines: nil reader")
	}
	limit := producerOption(func(c *config) { c.maxLine = DefaultMaxLine })
	p := newProducer[string](nil, append([]ProducerOption{limit}, opts...))
	lines := &lineWell{r: r, max: p.conf.maxLine}
	p.def.newFeed = func(run *core, wake func()) feed[string] { return newPump(run, wake, lines) }
	return p
}

// MaxLine sets the longest line of a [Lines], in bytes without the end; by default 1 MiB. At least
// 1. It bounds what the producer keeps of one line. On another producer it is reported by Run.
func MaxLine(n int) ProducerOption {
	return producerOption(func(c *config) {
		switch {
		case c.maxLine == 0:
			c.fault("MaxLine(%d): the producer is not one of Lines", n)
		case n < 1:
			c.fault("MaxLine(%d): must be at least 1", n)
		default:
			c.maxLine = n
		}
	})
}

const (
	lineBlock  = 64 << 10 // how much is read at once
	emptyReads = 100      // how many reads of nothing, one after the other, are too many
)

// lineWell splits what it reads into lines.
type lineWell struct {
	r   io.Reader // read-only
	max int       // read-only

	back   []string // lines that came back
	buf    []byte   // read and not split from start on; up to searched there is no line end in it
	start  int
	search int
	number int   // lines split
	err    error // of the last Read; comes behind what is in buf
}

func (l *lineWell) putBack(lines []string) { l.back = append(lines, l.back...) }

func (l *lineWell) draw(n int) ([]string, error) {
	if len(l.back) > 0 {
		n = min(n, len(l.back))
		lines := l.back[:n:n]
		l.back = l.back[n:]
		return lines, nil
	}
	var lines []string
	for len(lines) < n {
		line, ok, err := l.next()
		if !ok {
			return lines, err
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// next splits off one line; without one in buf, ok is false.
func (l *lineWell) next() (line string, ok bool, err error) {
	end, skip := bytes.IndexByte(l.buf[l.search:], '\n'), 1
	switch {
	case end >= 0:
		end += l.search
	case l.err == io.EOF && len(l.buf) > l.start:
		end, skip = len(l.buf), 0
	default:
		l.search = len(l.buf)
		// The end may be on its way, and its first byte here already.
		if n := len(l.buf) - l.start; n-1 > l.max || n > l.max && l.buf[len(l.buf)-1] != '\r' {
			return "", false, l.tooLong()
		}
		return "", false, l.failure()
	}
	text := bytes.TrimSuffix(l.buf[l.start:end], []byte{'\r'})
	if len(text) > l.max {
		return "", false, l.tooLong()
	}
	l.number++
	l.start, l.search = end+skip, end+skip
	return string(text), true, nil
}

func (l *lineWell) tooLong() error { return &longLine{number: l.number + 1, max: l.max} }

// longLine is bufio.ErrTooLong in other words.
type longLine struct{ number, max int }

func (e *longLine) Error() string {
	return fmt.Sprintf("line %d is longer than %d bytes", e.number, e.max)
}
func (e *longLine) Unwrap() error { return bufio.ErrTooLong }

// failure returns what Read returned, once: the next run reads again.
func (l *lineWell) failure() error {
	err := l.err
	l.err = nil
	switch {
	case err == nil:
		return nil
	case err == io.EOF:
		return ErrDone
	}
	return fmt.Errorf("line %d: %w", l.number+1, sound(err))
}

func (l *lineWell) fill() {
	if l.start > 0 {
		l.buf = l.buf[:copy(l.buf, l.buf[l.start:])]
		l.search -= l.start
		l.start = 0
	}
	if len(l.buf) == cap(l.buf) {
		grown := make([]byte, len(l.buf), max(lineBlock, 2*cap(l.buf)))
		copy(grown, l.buf)
		l.buf = grown
	}
	for range emptyReads {
		n, err := l.r.Read(l.buf[len(l.buf):cap(l.buf)])
		if n < 0 || n > cap(l.buf)-len(l.buf) {
			n, err = 0, bufio.ErrBadReadCount
		}
		l.buf = l.buf[:len(l.buf)+n]
		if l.err = err; n > 0 || err != nil {
			return
		}
	}
	l.err = io.ErrNoProgress
}
