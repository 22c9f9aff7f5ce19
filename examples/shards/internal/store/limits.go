package store

import "flag"

// Limits bound what a [Decoder] accepts, so that a hostile or broken snapshot fails instead of filling the memory. Each is
// inclusive. A zero or negative field takes the default.
type Limits struct {
	Key     int   // bytes of a key; 4 KiB
	Line    int   // bytes of a line without its end; 64 MiB
	Ratio   int64 // decompressed bytes per stored byte, of a whole .gz and, beyond 16 MiB, of what was read of it; 1000
	Decoded int64 // decompressed bytes of one snapshot; 64 GiB
}

// DefaultLimits returns the limits that the zero Limits stands for.
func DefaultLimits() Limits {
	return Limits{Key: 4 << 10, Line: 64 << 20, Ratio: 1000, Decoded: 64 << 30}
}

// AddFlags defines -max-key, -max-line, -max-ratio and -max-decoded on fs, which set l's fields.
func (l *Limits) AddFlags(fs *flag.FlagSet) {
	d := l.orDefault()
	fs.IntVar(&l.Key, "max-key", d.Key, "longest key, in bytes")
	fs.IntVar(&l.Line, "max-line", d.Line, "longest line of a snapshot, in bytes")
	fs.Int64Var(&l.Ratio, "max-ratio", d.Ratio, "most decompressed bytes per stored byte of a snapshot")
	fs.Int64Var(&l.Decoded, "max-decoded", d.Decoded, "most decompressed bytes of a snapshot")
}

func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	if l.Key > 0 {
		d.Key = l.Key
	}
	if l.Line > 0 {
		d.Line = l.Line
	}
	if l.Ratio > 0 {
		d.Ratio = l.Ratio
	}
	if l.Decoded > 0 {
		d.Decoded = l.Decoded
	}
	return d
}
