//go:build race

package explore_test

// raceEnabled has tests look less far: a plain value has no races, and real stages much the same ones in every schedule.
const raceEnabled = true
