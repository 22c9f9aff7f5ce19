package shardfile

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/go-genstage/genstage/examples/shards/internal/store"
)

// Manifest says what a shard file was built from.
type Manifest struct {
	Shard     string     `json:"shard"`
	Schema    int        `json:"schema"`
	Snapshots []Ingested `json:"snapshots"` // in order of name
}

// Ingested is a snapshot that is in a shard file, as it was read.
type Ingested struct {
	Name        string `json:"name"`
	Size        int64  `json:"size"`         // stored bytes in the store
	Checksum    string `json:"checksum"`     // of these, see store.Checksum
	Records     int64  `json:"records"`      //
	BytesRaw    int64  `json:"bytes_raw"`    // of its values before compression
	BytesStored int64  `json:"bytes_stored"` // of its values in the shard file
}

// Find returns the snapshot of that name, and whether there is one.
func (m *Manifest) Find(name string) (Ingested, bool) {
	if i, ok := m.search(name); ok {
		return m.Snapshots[i], true
	}
	return Ingested{}, false
}

// Records returns the number of records of all snapshots.
func (m *Manifest) Records() int64 {
	var n int64
	for _, s := range m.Snapshots {
		n += s.Records
	}
	return n
}

func (m *Manifest) search(name string) (int, bool) {
	return slices.BinarySearchFunc(m.Snapshots, name, func(s Ingested, name string) int { return strings.Compare(s.Name, name) })
}

func (m *Manifest) encode() ([]byte, error) {
	if m.Snapshots == nil {
		m.Snapshots = []Ingested{} // [] rather than null
	}
	return json.Marshal(m)
}

func decodeManifest(text []byte) (*Manifest, error) {
	m := new(Manifest)
	if err := json.Unmarshal(text, m); err != nil {
		return nil, corrupt("manifest: %v", err)
	}
	if err := m.check(); err != nil {
		return nil, corrupt("manifest: %v", err)
	}
	return m, nil
}

func (m *Manifest) check() error {
	if err := store.CheckName(m.Shard); err != nil {
		return fmt.Errorf("shard %q: %w", m.Shard, err)
	}
	var records int64
	for i, s := range m.Snapshots {
		if err := store.CheckName(s.Name); err != nil {
			return fmt.Errorf("snapshot %q: %w", s.Name, err)
		}
		if i > 0 && s.Name <= m.Snapshots[i-1].Name {
			return fmt.Errorf("snapshot %q is out of order", s.Name)
		}
		if records += s.Records; min(s.Size, s.Records, s.BytesRaw, s.BytesStored, records) < 0 {
			return fmt.Errorf("snapshot %q has a negative number", s.Name)
		}
	}
	return nil
}
