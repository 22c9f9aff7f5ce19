package conformance

import "github.com/go-genstage/genstage/stage"

type probe struct{}

func (a *actor) makeProbe() { panic(missing("the wire")) }

func (a *actor) observe(stage.Message) {}

func (w *world) doWire(step) any { panic(missing("the wire")) }
