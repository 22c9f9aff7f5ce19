package shardfile

import "hash/crc32"

func crcTable(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// mendChecksums makes the checksums of header, footer, directory, manifest and indexes right, as far as the parts can be found.
func mendChecksums(b []byte) {
	if len(b) < headerSize+footerSize {
		return
	}
	copy(b, encodeHeader())
	foot := b[len(b)-footerSize:]
	copy(foot[40:], magicTail)
	le.PutUint32(foot[32:], formatVersion)
	dirOff, dirLen := le.Uint64(foot), le.Uint64(foot[8:])
	size := uint64(len(b) - footerSize)
	if dirOff <= size && dirLen <= size-dirOff {
		directory := b[dirOff : dirOff+dirLen]
		mendIndexes(b, directory)
		le.PutUint64(foot[16:], size-dirOff-dirLen)
		le.PutUint32(foot[24:], crcTable(directory))
		le.PutUint32(foot[28:], crcTable(b[dirOff+dirLen:size]))
	}
	le.PutUint32(foot[36:], crcTable(foot[:36]))
}

func mendIndexes(b, directory []byte) {
	off := int64(headerSize)
	for d := (decoder{b: directory}); len(d.b) > 0; {
		d.bytes()
		recLen, idxLen, _ := d.int(), d.int(), d.int()
		sum := d.b
		d.uint32()
		end := int64(len(b))
		if d.bad || recLen > end-off || idxLen > end-off-recLen {
			return
		}
		le.PutUint32(sum, crcTable(b[off+recLen:off+recLen+idxLen]))
		off += recLen + idxLen
	}
}
