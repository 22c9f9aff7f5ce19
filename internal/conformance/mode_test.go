package conformance

import (
	"context"

	"github.com/go-genstage/genstage/stage"
)

// modes sets and tells whether a producer forwards or accumulates.
type modes struct {
	accumulate, forward func() error
	forwarding          func() bool
}

func modesOf(p *stage.Producer[event]) *modes {
	return &modes{p.Accumulate, p.Forward, p.Forwarding}
}

func modeOptions(spec stageSpec) []stage.ProducerOption {
	if spec.Demand == "accumulate" {
		return []stage.ProducerOption{stage.Accumulating()}
	}
	return nil
}

// doMode does set_demand and get_demand.
func (a *actor) doMode(s step) any {
	switch {
	case s.Do == "get_demand" && a.isDead():
		return exited("noproc")
	case a.modes == nil:
		return a.modeOfOtherKind(s)
	case s.Do == "get_demand":
		if a.modes.forwarding() {
			return "forward"
		}
		return "accumulate"
	case s.Mode == "accumulate":
		_ = a.modes.accumulate() // void when the stage has ended
	default:
		_ = a.modes.forward()
	}
	return nil
}

// modeOfOtherKind answers for stages that have no mode here. GenStage's producer-consumers fail when they
// are asked for theirs.
func (a *actor) modeOfOtherKind(s step) any {
	a.w.saysByType("the demand mode of a " + a.spec.Kind)
	switch {
	case s.Do == "set_demand":
		return nil
	case a.spec.Kind == "producer_consumer":
		_ = a.tell(func(context.Context) ([]event, error) { panic(reason("error:not_supported")) })
		return exited("error:not_supported")
	}
	return "forward"
}
