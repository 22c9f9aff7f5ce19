package store

import (
	"fmt"
	"hash"
	"hash/crc64"
	"io"
)

// CRC-64/NVME, reflected. S3 computes this one for the whole of every object it is given, so a store over S3 learns the
// checksum of a snapshot without reading it.
var crcTable = crc64.MakeTable(0x9a6c9329ac4bc9b5)

// Checksum returns a snapshot's checksum as the manifest and [Store] write it, from the sum of a [NewChecksum]:
// "crc64nvme:" and 16 hexadecimal digits.
func Checksum(sum uint64) string { return fmt.Sprintf("%s%016x", checksumForm, sum) }

const checksumForm = "crc64nvme:"

// NewChecksum returns the hash that snapshots' stored bytes are summed with. It finds accidents, 1 in 2⁶⁴ passes; it does
// not withstand someone who forges.
func NewChecksum() hash.Hash64 { return crc64.New(crcTable) }

// measure counts and sums what is read through it, and keeps the reader's own failure apart from what a decompressor makes
// of it.
type measure struct {
	r   io.Reader
	n   int64
	sum hash.Hash64
	err error // of r, other than io.EOF
}

func (m *measure) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.n += int64(n)
	m.sum.Write(p[:n])
	if err != nil && err != io.EOF {
		m.err = err
	}
	return n, err
}
