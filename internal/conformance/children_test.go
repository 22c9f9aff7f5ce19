package conformance

// children steers the children of a consumer supervisor.
type children struct{}

func (a *actor) makeSupervisor() { panic(string("consumer supervisors")) }

func (a *actor) doChild(step) any { panic(string("consumer supervisors")) }

// byEvent sorts the ends of children by event: they have no order in time.
func byEvent(ended []childEnd) []childEnd { return ended }
