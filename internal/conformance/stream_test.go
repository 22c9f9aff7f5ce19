package conformance

func (w *world) doStream(step) any { panic(missing("Events")) }
