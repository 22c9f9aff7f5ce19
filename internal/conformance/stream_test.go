package conformance

func (w *world) doStream(step) any { panic(string("Events")) }
