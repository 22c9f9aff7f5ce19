package disk

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// Crashes returns folders that may be found after a crash at this moment. Each change of a name since the last SyncDir is
// there or not. Of what was written to a file since its last Sync nothing is there, a part, all, or zeros in its place.
//
// The first eight are all of the changes or none of them, with each of these four for every file. The others, as many as
// random, choose by r for each change and each file alone. The folder itself is left as it is.
func (m *Model) Crashes(r *rand.Rand, random int) []*Model {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []*Model
	for _, all := range []bool{false, true} {
		for how := range losses {
			found = append(found, m.crash(func() bool { return all }, func() int { return how }, func(n int) int { return n / 2 }))
		}
	}
	for range random {
		found = append(found, m.crash(func() bool { return r.IntN(2) == 0 }, func() int { return r.IntN(losses) }, r.IntN))
	}
	return found
}

// The ways to lose what was not synced.
const (
	nothingLeft = iota
	partLeft
	allLeft
	zerosLeft
	losses
)

// crash returns one folder. The caller holds mu.
func (m *Model) crash(applied func() bool, loss func() int, part func(int) int) *Model {
	names := maps.Clone(m.stable)
	if names == nil {
		names = map[string]*inode{}
	}
	for _, c := range m.changes {
		if applied() {
			c.apply(names)
		}
	}
	left := &Model{now: map[string]*inode{}}
	for _, name := range slices.Sorted(maps.Keys(names)) { // in an order: the choices come from a seed
		content := survivors(names[name], loss, part)
		left.now[name] = &inode{content: content, synced: len(content)}
	}
	left.stable = maps.Clone(left.now)
	return left
}

func survivors(file *inode, loss func() int, part func(int) int) []byte {
	content := slices.Clone(file.content)
	lost := content[file.synced:]
	if len(lost) == 0 {
		return content
	}
	switch loss() {
	case nothingLeft:
		return content[:file.synced]
	case partLeft:
		return content[:file.synced+part(len(lost))]
	case zerosLeft:
		clear(lost)
	}
	return content
}
