//go:build race

package command

// raceEnabled: compressing 300 shards takes minutes under the race detector; the same stages build fewer there.
const raceEnabled = true
