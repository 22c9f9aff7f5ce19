package main

// The tests by number: T1 to T43 run in CI, T44 to T50 are benchmarks, or run with -long.

var simulation = []row{
	{id: "T1", what: "random graphs: the ledger, order, nothing twice", tests: []string{"stage.TestRandomGraphs"}},
	{id: "T2", what: "random graphs with crashes, cancels, restarts, late joiners", tests: []string{"stage.TestRandomFaults"}},
	{id: "T3", what: "once the faults stop, every event is accounted for", tests: []string{"stage.TestRandomFaults"}},
	{id: "T4", what: "the same seed is the same trace", tests: []string{"stage.TestRandomGraphs"}},
	{id: "T5", what: "sinks stop one by one and go on in another order", tests: []string{"stage.TestRandomGraphs"}},
	{id: "T6", what: "each dispatcher does what its naive model does", ci: 300_000, long: 3_000_000, unit: "sequences", tests: []string{"stage.TestDemandDispatcherIsTheNaiveOne", "stage.TestBroadcastDispatcherIsTheNaiveOne", "stage.TestPartitionDispatcherIsTheNaiveOne"}, note: "100,000 for each of the three; TestDispatchersOfThisModule plays the rules D1 to D7 besides"},
	{id: "T7", what: "planted bugs are found", tests: []string{"stage/stagetest.TestWhatIsPlantedIsFound"}},
	{id: "T8", what: "what should happen now and then does", tests: []string{"stage.TestRandomFaults"}},
	{id: "T9", what: "the counter of demand is linearizable", tests: []string{"stage.TestAsksAreLinearizable"}, ci: 10_000, long: 200_000, unit: "histories of 24 steps"},
	{id: "T10", what: "a standstill is idle, starved or dead", tests: []string{"stage.TestRandomFaults"}},
}

var demand = []row{
	{id: "T11", what: "ask 0, -1, MinInt64: ErrInvalidDemand, nothing changes", tests: []string{"stage.TestInvalidAsksChangeNothing"}},
	{id: "T12", what: "MaxInt64, and one more: demand is never negative", tests: []string{"stage.TestManualAsksSaturate"}},
	{id: "T13", what: "options out of range: an error that names the option", tests: []string{"stage.TestInvalidOptions"}},
	{id: "T14", what: "messages in any order", tests: []string{"stage.TestStorm"}},
	{id: "T15", what: "a source that returns more, fewer, none", tests: []string{"stage.TestSourceMayReturnFewerOrMore"}},
	{id: "T16", what: "a million events at once", tests: []string{"stage.TestFullBufferDiscards"}},
	{id: "T17", what: "small buffers, either end kept, calls in between", tests: []string{"stage.TestB09QueuedCallsInOrder"}},
	{id: "T18", what: "fairness among windows of 1 to 1000", tests: []string{"stage.TestBatchGoesToTheLargestDemand"}},
	{id: "T19", what: "a hundred subscribe while a producer accumulates", tests: []string{"stage.TestAccumulatingUntilAHundredHaveSubscribed"}},
	{id: "T20", what: "a thousand goroutines ask on one subscription", tests: []string{"stage.TestAsksFromManyGoroutinesWhileEventsFlow"}},
}

var userCode = []row{
	{id: "T21", what: "every user function in every kind of stage fails in every way", tests: []string{"stage.TestFailureOfAStageAlone", "stage.TestFailureOfAMember", "stage.TestSupervisorEveryEndOfAChild"}},
	{id: "T22", what: "a poison event among ten thousand", tests: []string{"stage.TestSupervisorMaxAttempts"}},
	{id: "T23", what: "a callback that never returns", tests: []string{"stage.TestStopDeadline"}},
	{id: "T24", what: "the late result of an abandoned callback", tests: []string{"stage.TestStopDeadline"}},
	{id: "T25", what: "one slow consumer among nine fast ones", tests: []string{"stage.TestBatchGoesToTheLargestDemand"}},
	{id: "T26", what: "a stuck consumer of a broadcast", tests: []string{"stage.TestLagDisconnect"}},
	{id: "T27", what: "waiting for oneself", tests: []string{"stage.TestSelfCall"}},
	{id: "T28", what: "rings of calls", tests: []string{"stage.TestRingOfDo", "stage.TestRingOfDoAtTheSameTime"}},
	{id: "T29", what: "a goroutine of the user's panics", tests: []string{"stage.TestGoroutinesOfCallbacksMayWait"}},
	{id: "T30", what: "a received slice is kept", tests: []string{"stage.TestProducerConsumerMayReturnTheSliceItWasGiven"}},
}

var lifecycle = []row{
	{id: "T31", what: "cancel mode × reason", tests: []string{"stage.TestSubscriptionEndAlone"}},
	{id: "T32", what: "Stop at random instants of three layers", tests: []string{"stage.TestStopAtRandomInstants"}},
	{id: "T33", what: "Abort at random instants", tests: []string{"stage.TestAbortAtRandomInstants"}},
	{id: "T34", what: "Stop, Abort and Run from many goroutines", tests: []string{"stage.TestStorm"}},
	{id: "T35", what: "the context ends in each phase of a run", tests: []string{"stage.TestContextEnds"}},
	{id: "T36", what: "every method at the wrong time", tests: []string{"stage.TestBeforeRunAndAfterTheEnd", "stage.TestZeroValues"}},
	{id: "T37", what: "cancel out of order", tests: []string{"stage.TestCrashAfterCancel"}},
	{id: "T38", what: "Resubscribe leaves no gap", tests: []string{"stage.TestResubscribeDuringTraffic"}},
	{id: "T39", what: "one-for-one, rest-for-one, one-for-all", tests: []string{"stage.TestSupervisorEveryEndOfAChild"}},
	{id: "T40", what: "the intensity of restarts is exact", tests: []string{"stage.TestSupervisorIntensityIsExact"}},
	{id: "T41", what: "backoff spreads a thousand that fail together", tests: []string{"stage.TestSupervisorBackoffSpreads"}},
	{id: "T42", what: "crashes while restarting and stopping", tests: []string{"stage.TestSupervisorStorm"}},
	{id: "T43", what: "subscribing while the producer restarts", tests: []string{"stage.TestDeclaredSubscriptionWaitsForTheNextRun"}},
}

var load = []row{
	{id: "T44", what: "100,000 consumers of one producer", tests: []string{"stage.BenchmarkDemandDispatcher"}},
	{id: "T45", what: "a million starts and ends", tests: []string{"stage.TestRunAgain"}},
	{id: "T46", what: "ten million events through three stages: memory is flat", tests: []string{"stage.TestAMillionEventsThroughEachDispatcher"}},
	{id: "T47", what: "a long storm of restarts and cancels", tests: []string{"stage.TestStorm"}},
	{id: "T48", what: "an endless source and a stuck sink in little memory", tests: []string{"stage.TestNeverMoreThanMaxInFlight"}},
	{id: "T49", what: "GOMAXPROCS 1, 2, 64, no asynchronous preemption", tests: []string{"stage.TestRandomGraphs"}},
	{id: "T50", what: "a day of idling, then an event", tests: []string{"stage.TestDemandWaitsForTheConsumer"}},
}
