package build

import "github.com/go-genstage/genstage/stage"

// design is one way to wire the stages of a build.
type design struct {
	name  string
	shows string // in a few words
	wire  func(*shared) []stage.Stage
}

// designs returns all of them, each from a file of its own.
func designs() []design {
	return []design{
		{"manual", "both limits are kept full; right only with manual ask", (*shared).manual},
		{"manual-supervised", "the same with a goroutine for each piece, and a connection for each", (*shared).manualSupervised},
		{"budget", "the same with a limit in bytes in place of a count", (*shared).budget},
		{"pool", "builders wait in their callback, a queue joins two pipelines; a long one makes newcomers wait", (*shared).pool},
		{"pool-supervised", "the same with a goroutine for each piece", (*shared).poolSupervised},
		{"aggregator", "one direction, nothing goes back; nothing bounds the shards in progress", (*shared).aggregator},
		{"children", "builders start a child for each piece; no bound unless a limit is shared", (*shared).children},
		{"tasks", "builders run k tasks each: starve the large shard, or break the bound", (*shared).tasks},
		{"sync", "consumers build alone: fine for many shards, slow for a large one", (*shared).sync},
		{"limited", "one shard at a time, so many pieces at once", (*shared).limited},
		{"naive", "one shard at a time, all its pieces at once", (*shared).naive},
	}
}

// Designs returns the names of the designs.
func Designs() []string {
	var names []string
	for _, d := range designs() {
		names = append(names, d.name)
	}
	return names
}

// Shows returns what a design shows, in a few words; "" for one that there is not.
func Shows(name string) string {
	for _, d := range designs() {
		if d.name == name {
			return d.shows
		}
	}
	return ""
}

// wire returns the stages of the design that the options name.
func (b *shared) wire() []stage.Stage {
	for _, d := range designs() {
		if d.name == b.Options.Design {
			return d.wire(b)
		}
	}
	panic("no design " + b.Options.Design) // Check has looked
}
