//go:build race

package flow_test

// raceEnabled has tests with many seeds make fewer of them.
const raceEnabled = true
