package generate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
)

// Config says what [Generate] makes. A zero field takes the default.
type Config struct {
	Seed   uint64 `json:"seed"`   // 1
	Shards int    `json:"shards"` // 300
	Size   string `json:"size"`   // "small", "medium" or "large"; small
}

// MaxAge is the age of the oldest generated shard, in weeks, and so the most snapshots [Generate] gives one.
const MaxAge = 260

// sizes bound a snapshot's decompressed bytes; in between they are log-uniform over the shards. 300 shards are about 40 MB
// small, 1 GB medium and 25 GB large before half of the files are compressed.
var sizes = map[string][2]float64{
	"small":  {400, 40 << 10},
	"medium": {4 << 10, 1 << 20},
	"large":  {16 << 10, 32 << 20},
}

// Check returns an error that names what is out of range.
func (c Config) Check() error {
	_, err := c.orDefault()
	return err
}

func (c Config) orDefault() (Config, error) {
	if c.Seed == 0 {
		c.Seed = 1
	}
	if c.Shards == 0 {
		c.Shards = 300
	}
	if c.Size == "" {
		c.Size = "small"
	}
	if _, ok := sizes[c.Size]; !ok {
		return c, fmt.Errorf("size %q: want small, medium or large", c.Size)
	}
	if c.Shards < 1 || c.Shards > 100_000 {
		return c, fmt.Errorf("%d shards: want 1 to 100000", c.Shards)
	}
	return c, nil
}

// shardPlan is what a shard's number and the seed fix for ever.
type shardPlan struct {
	seed    uint64
	name    string
	age     int     // weeks at generation
	records float64 // in a middling snapshot
	words   int     // in an object's text
}

func (c Config) plan(i int) shardPlan {
	seed := mix(c.Seed, uint64(i))
	// A log-uniform age, bent towards the young: a third has one snapshot, a tenth more than a hundred.
	age := int(math.Pow(MaxAge+1, math.Pow(unit(seed, 1), 2)))
	bounds := sizes[c.Size]
	size := bounds[0] * math.Pow(bounds[1]/bounds[0], unit(seed, 2))
	words := int(8 * math.Pow(40, unit(seed, 3)))
	words = min(words, int(size)/8) // at least about one object
	return shardPlan{
		seed: seed, name: fmt.Sprintf("campaign-%05d", i), age: max(age, 1),
		records: size / float64(170+6*words), words: words,
	}
}

// marker is a file of the root that says how it was made. Its name begins with a dot: no shard.
const marker = ".generated.json"

type state struct {
	Config
	Week     int   `json:"week"`     // the last one that was given
	Revived  []int `json:"revived"`  // numbers of the shards that a Tick revived
	Complete bool  `json:"complete"` // Generate came to its end
}

func readState(ctx context.Context, root Place) (state, error) {
	text, err := root.ReadFile(ctx, marker)
	if err != nil {
		return state{}, err
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return state{}, fmt.Errorf("%s: %w", marker, err)
	}
	if s.Config, err = s.Config.orDefault(); err != nil {
		return state{}, fmt.Errorf("%s: %w", marker, err)
	}
	return s, nil
}

func writeState(ctx context.Context, root Place, s state) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return root.WriteFile(ctx, marker, append(text, '\n'))
}

// Exists reports whether root was made by [Generate], to its end.
func Exists(ctx context.Context, root Place) (bool, error) {
	s, err := readState(ctx, root)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return s.Complete, err
}
