//go:build !race

package explore_test

// raceEnabled has tests look less far.
const raceEnabled = false
