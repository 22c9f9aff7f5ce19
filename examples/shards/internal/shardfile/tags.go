package shardfile

import (
	"encoding/json"
	"errors"
	"io"
)

// Tags is what is known of the names that a store gives to content, see [store.Snapshot]: which checksum the bytes have that a
// snapshot has under a tag. It lies beside the shard's file, not in it: the file is a function of the snapshots' bytes alone,
// wherever they lie, and a tag is not. It is a memory that may be lost, at the price of asking the store for checksums once more.
// The keys are the snapshots' names.
type Tags map[string]Tagged

// Tagged is what is known of one snapshot.
type Tagged struct {
	Tag      string `json:"tag"`
	Checksum string `json:"checksum"`
}

// ReadTags returns the tags of a shard: none if there is no file, or one that cannot be used.
func ReadTags(fsys FS, shard string) Tags {
	f, err := fsys.Open(shard + extTags)
	if err != nil {
		return nil
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil
	}
	text := make([]byte, size)
	if _, err := f.ReadAt(text, 0); err != nil && err != io.EOF {
		return nil
	}
	var t Tags
	if json.Unmarshal(text, &t) != nil {
		return nil
	}
	return t
}

// WriteTags replaces the tags of a shard. Nothing is synced: after a crash there may be the old ones, or a file that [ReadTags]
// takes for none.
func WriteTags(fsys FS, shard string, t Tags) error {
	text, err := json.Marshal(t)
	if err != nil {
		return err
	}
	temp := shard + extTags + extTemp
	f, err := fsys.Create(temp)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = fsys.Rename(temp, shard+extTags)
	}
	if err != nil {
		return errors.Join(err, fsys.Remove(temp))
	}
	return nil
}
