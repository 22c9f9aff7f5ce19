//go:build !race

package stage_test

// raceEnabled has tests with many seeds make fewer of them.
const raceEnabled = false
