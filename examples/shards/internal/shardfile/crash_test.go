package shardfile

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/go-genstage/genstage/examples/shards/internal/disk"
	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/stretchr/testify/require"
)

var errDisk = errors.New("disk failed")

// failAt makes the nth operation fail, or with dead all from that on.
func failAt(n int, dead bool, err error) func(disk.Op) error {
	return func(op disk.Op) error {
		if op.N == n || dead && op.N > n {
			return err
		}
		return nil
	}
}

// update is what the tests of failing disks do: a shard that is there, or not, gets more snapshots, enough to spill.
func update(fsys FS, more []given) error {
	from, err := Open(fsys, "s")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var keep []string
	if err != nil {
		from = nil
	} else {
		keep = []string{"a"}
	}
	b, err := Begin(fsys, "s", 1, from, keep)
	if err != nil {
		return err
	}
	for _, g := range more {
		if err := b.Ingest(g.name, int64(len(g.name)), "sum of "+g.name, g.values); err != nil {
			_ = b.Abandon()
			return err
		}
	}
	_, err = b.Persist(context.Background())
	return err
}

// scenario is an update of a shard: the disk before it, the file before (nil: none) and after it, and the operations.
type scenario struct {
	disk          func() *disk.Model
	more          []given
	before, after []byte
	ops           []disk.Op
}

func scenarios(t *testing.T) map[string]scenario {
	big := noise(rand.New(rand.NewPCG(5, 5)), 320<<10)
	more := []given{{name: "b", values: []Value{object("k", 2), Compress("big", big)}}, {name: "c", values: []Value{object("j", 3)}}}
	first := build(t, new(disk.Model), nil, nil, []given{{name: "a", values: []Value{object("k", 1), object("l", 1)}}})
	with := func(before []byte) scenario {
		s := scenario{more: more, before: before, disk: func() *disk.Model {
			d := new(disk.Model)
			if before != nil {
				d.Put(FileName("s"), before)
			}
			return d
		}}
		d := s.disk()
		require.NoError(t, update(d, more))
		s.ops, s.after = d.Ops(), content(t, d, FileName("s"))
		require.Contains(t, whats(s.ops), "create s.shard.spill", "the test spills")
		return s
	}
	return map[string]scenario{"from scratch": with(nil), "incremental": with(first)}
}

func whats(ops []disk.Op) (all []string) {
	for _, op := range ops {
		all = append(all, op.What+" "+op.File)
	}
	return all
}

// is returns the shard's file, nil if there is none.
func is(t *testing.T, d *disk.Model) []byte {
	t.Helper()
	for _, name := range list(t, d) {
		if name == FileName("s") {
			return content(t, d, name)
		}
	}
	return nil
}

// Every operation in turn fails, in each way in which disks fail, and then there is room again.
func TestEveryFailingOperationLeavesAWholeFileAndNoTemporary(t *testing.T) {
	for name, s := range scenarios(t) {
		t.Run(name, func(t *testing.T) {
			n := 0
			for _, cause := range []error{errDisk, syscall.ENOSPC, syscall.EIO, syscall.EMFILE} {
				for _, op := range s.ops {
					d := s.disk()
					d.Fail = failAt(op.N, false, cause)
					require.ErrorIs(t, update(d, s.more), cause, op)
					n++
					want, left := s.before, []string{FileName("s")}
					if op.What == "sync folder" {
						want = s.after // the rename was done; whether it lasts is not known
					}
					if want == nil {
						left = nil
					}
					require.Equal(t, want, is(t, d), op)
					if op.What != "remove" { // a folder that refuses to remove it keeps it
						require.Equal(t, left, list(t, d), op)
					}
					if op.What != "sync folder" {
						require.NoError(t, update(d, s.more), "there is room again")
						require.Equal(t, s.after, is(t, d), op)
						require.Equal(t, []string{FileName("s")}, list(t, d), op)
					}
				}
			}
			testkit.Report(t, "T56", n)
		})
	}
}

// A disk with room for every number of bytes too few.
func TestADiskThatIsFullAtAnyByte(t *testing.T) {
	for name, s := range scenarios(t) {
		t.Run(name, func(t *testing.T) {
			n, enough := 0, int64(len(s.before)+3*len(s.after))
			for room, step := int64(1), int64(9973); ; room += step {
				d := s.disk()
				d.SetCapacity(int64(len(s.before)) + room)
				err := update(d, s.more)
				if err == nil {
					require.Less(t, int64(len(s.before))+room, enough)
					break
				}
				n++
				require.ErrorIs(t, err, syscall.ENOSPC)
				require.Equal(t, s.before, is(t, d))
				require.Len(t, list(t, d), min(1, len(s.before)), "no temporary file")
				d.SetCapacity(0)
				require.NoError(t, update(d, s.more), "there is room again")
				require.Equal(t, s.after, is(t, d))
			}
			testkit.Report(t, "T56", n)
		})
	}
}

// A crash at every operation, with everything that was not synced lost in each way.
func TestCrashAtEveryOperationLeavesOldOrNew(t *testing.T) {
	for name, s := range scenarios(t) {
		t.Run(name, func(t *testing.T) {
			r, n := rand.New(rand.NewPCG(6, 6)), 0
			for at := 1; at <= len(s.ops)+1; at++ {
				d := s.disk()
				d.Fail = failAt(at, true, errDisk)
				err := update(d, s.more)
				if at > len(s.ops) {
					require.NoError(t, err)
				} else {
					require.Error(t, err)
				}
				for _, found := range d.Crashes(r, testkit.Rounds(20, 200)) {
					n++
					switch now := is(t, found); {
					case bytes.Equal(now, s.after):
					case bytes.Equal(now, s.before) && err != nil:
						require.NoError(t, update(found, s.more))
						require.Equal(t, s.after, is(t, found))
						require.Equal(t, []string{FileName("s")}, list(t, found), "leftovers are gone")
					default:
						t.Fatalf("crash before %v: neither old nor new, or a finished build lost", append(s.ops, disk.Op{What: "the end"})[at-1])
					}
				}
			}
			testkit.Report(t, "T54", n)
		})
	}
}
