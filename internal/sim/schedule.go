package sim

import "math/rand/v2"

// Schedule says how the next goroutine is chosen.
type Schedule uint8

// The schedules.
const (
	Uniform   Schedule = iota // each as likely as the others
	Sticky                    // mostly the one that was last at work
	Ranked                    // by a random rank of each, which sometimes changes: some starve for long
	LastFirst                 // mostly the one that joined last
	schedules
)

func (s Schedule) String() string {
	return [...]string{"uniform", "sticky", "ranked", "last first"}[s]
}

// chooser returns the function that chooses for the scheduler.
func (s Schedule) chooser(rng *rand.Rand) func(waiting []string) int {
	switch s {
	case Sticky:
		return sticky(rng)
	case Ranked:
		return ranked(rng)
	case LastFirst:
		return func(waiting []string) int {
			if rng.IntN(4) > 0 {
				return len(waiting) - 1
			}
			return rng.IntN(len(waiting))
		}
	default:
		return func(waiting []string) int { return rng.IntN(len(waiting)) }
	}
}

func sticky(rng *rand.Rand) func([]string) int {
	var last string
	return func(waiting []string) int {
		if rng.IntN(10) > 0 {
			for i, name := range waiting {
				if name == last {
					return i
				}
			}
		}
		i := rng.IntN(len(waiting))
		last = waiting[i]
		return i
	}
}

func ranked(rng *rand.Rand) func([]string) int {
	ranks := map[string]uint64{}
	return func(waiting []string) int {
		best := 0
		for i, name := range waiting {
			if _, known := ranks[name]; !known {
				ranks[name] = rng.Uint64()
			}
			if ranks[name] > ranks[waiting[best]] {
				best = i
			}
		}
		if rng.IntN(30) == 0 {
			ranks[waiting[best]] = rng.Uint64() / 2
		}
		return best
	}
}
