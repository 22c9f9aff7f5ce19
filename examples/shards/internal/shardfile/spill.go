package shardfile

import "errors"

const (
	spillBuffer = 256 << 10 // a spill that stays below never becomes a file
	spillWindow = 4 << 10   // read at once; runs of small records are mostly read in the order they were written
)

// spill is an append-only store of bytes: a buffer, and a temporary file once that is full. It is owned by one goroutine.
type spill struct {
	fsys    FS
	name    string
	file    File // nil until the buffer is first full
	flushed int64
	buf     []byte
	err     error // of a write; final, as the file's length is then unknown
}

func (s *spill) size() int64 { return s.flushed + int64(len(s.buf)) }

// append adds the parts one after the other and returns the place of the first.
func (s *spill) append(parts ...[]byte) (int64, error) {
	if s.err != nil {
		return 0, s.err
	}
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	if len(s.buf) > 0 && len(s.buf)+n > spillBuffer {
		if s.err = s.flush(); s.err != nil {
			return 0, s.err
		}
	}
	at := s.size()
	for _, p := range parts {
		s.buf = append(s.buf, p...)
	}
	return at, nil
}

func (s *spill) flush() error {
	if s.file == nil {
		f, err := s.fsys.Create(s.name)
		if err != nil {
			return &FileError{File: s.name, Err: err}
		}
		s.file = f
	}
	if _, err := s.file.Write(s.buf); err != nil {
		return &FileError{File: s.name, Err: err}
	}
	s.flushed += int64(len(s.buf))
	if cap(s.buf) > 2*spillBuffer { // one large value
		s.buf = nil
	}
	s.buf = s.buf[:0]
	return nil
}

// view is a window on a spill, so that records which lie one after the other cost one read. Nothing is appended meanwhile.
type view struct {
	s   *spill
	off int64
	buf []byte
}

// at returns the n bytes at off, valid until the next call.
func (v *view) at(off, n int64) ([]byte, error) {
	if off >= v.s.flushed {
		return v.s.buf[off-v.s.flushed:][:n], nil
	}
	if off < v.off || off+n > v.off+int64(len(v.buf)) {
		want := min(max(n, spillWindow), v.s.flushed-off)
		if int64(cap(v.buf)) < want || cap(v.buf) > 1<<20 && want <= spillWindow {
			v.buf = make([]byte, want)
		}
		v.buf, v.off = v.buf[:want], off
		if k, err := v.s.file.ReadAt(v.buf, off); int64(k) < want {
			v.buf = v.buf[:0]
			return nil, &FileError{File: v.s.name, Err: err}
		}
	}
	return v.buf[off-v.off:][:n], nil
}

// drop closes and removes the file, if there is one.
func (s *spill) drop() error {
	s.buf = nil
	if s.file == nil {
		return nil
	}
	err := errors.Join(s.file.Close(), s.fsys.Remove(s.name))
	s.file = nil
	return err
}
