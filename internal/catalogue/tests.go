package main

// The tests by number: T1 to T43 run in CI, T44 to T50 are benchmarks, or run with -long.
// T51 to T63 are in shards.go.

var simulation = []row{
	{id: "T1", what: "random graphs: the ledger, order, nothing twice", tests: []string{"internal/sim.TestCampaign", "stage.TestRandomGraphs"}, ci: 5_000, long: 40_000, unit: "runs"},
	{id: "T2", what: "random graphs with crashes, cancels, restarts, late joiners", tests: []string{"internal/sim.TestCampaign", "stage.TestRandomFaults"}, ci: 5_000, long: 40_000, unit: "runs", note: "restarts are those of children"},
	{id: "T3", what: "once the faults stop, every event is accounted for", tests: []string{"internal/sim.TestCampaign"}, ci: 5_000, long: 40_000, unit: "runs", note: "half of the runs are of this kind"},
	{id: "T4", what: "the same seed is the same trace", tests: []string{"internal/sim.TestTheSameSeedGivesTheSameTrace"}, ci: 300, long: 1000, unit: "seeds"},
	{id: "T5", what: "sinks stop one by one and go on in another order", tests: []string{"internal/sim.TestCampaign"}, ci: 5_000, long: 40_000, unit: "runs"},
	{id: "T6", what: "each dispatcher does what its naive model does", ci: 300_000, long: 3_000_000, unit: "sequences", tests: []string{"stage.TestDemandDispatcherIsTheNaiveOne", "stage.TestBroadcastDispatcherIsTheNaiveOne", "stage.TestPartitionDispatcherIsTheNaiveOne"}, note: "100,000 for each of the three; TestDispatchersOfThisModule plays the rules D1 to D7 besides"},
	{id: "T7", what: "planted bugs are found", tests: []string{"internal/planted.TestEachBugCompiles", "internal/planted.TestHunt", "stage/stagetest.TestWhatIsPlantedIsFound"}, note: "in CI those in the library are built, and those in dispatchers found; the long run, or sim -planted, hunts all of them", ci: 55, long: 74, unit: "bugs"},
	{id: "T8", what: "what should happen now and then does", tests: []string{"internal/sim.TestCampaign"}, ci: 5_000, long: 40_000, unit: "runs"},
	{id: "T9", what: "the counter of demand is linearizable", tests: []string{"stage.TestAsksAreLinearizable"}, ci: 10_000, long: 200_000, unit: "histories of 24 steps"},
	{id: "T10", what: "a standstill is idle, starved or dead", tests: []string{"internal/sim.TestIdle", "internal/sim.TestStarved", "internal/sim.TestDeadlocked"}, ci: 1_000, long: 10_000, unit: "standstills"},
}

var demand = []row{
	{id: "T11", what: "ask 0, -1, MinInt64: ErrInvalidDemand, nothing changes", tests: []string{"stage.TestInvalidAsksChangeNothing"}, ci: 3, long: 3, unit: "amounts"},
	{id: "T12", what: "MaxInt64, and one more: demand is never negative", tests: []string{"stage.TestDemandNeverOverflows", "stage.TestManualAsksSaturate"}, ci: 48, long: 48, unit: "cells"},
	{id: "T13", what: "options out of range: an error that names the option", tests: []string{"stage.TestOptionsOfAnyValue", "stage.FuzzOptions", "stage.TestInvalidOptions", "stage.TestInvalidWiring"}, ci: 20_000, long: 1_000_000, unit: "sets of options"},
	{id: "T14", what: "messages in any order", tests: []string{"stage.TestCallsAndMessagesInAnyOrder", "stage.FuzzProtocol"}, ci: 3_000, long: 100_000, unit: "sequences of 100", note: "stray messages are those about subscriptions that the receiver does not know or knows to have ended: others cannot be sent"},
	{id: "T15", what: "a source that returns more, fewer, none", tests: []string{"stage.TestASourceIsNotAskedAgainForWhatItOwes", "stage.TestSourceMayReturnFewerOrMore"}, ci: 2_000, long: 50_000, unit: "seeds"},
	{id: "T16", what: "a million events at once", tests: []string{"stage.TestAMillionEventsAtOnce", "stage.TestFullBufferDiscards"}, ci: 6_000_000, long: 6_000_000, unit: "events", note: "no limit of time: an absolute time is no evidence"},
	{id: "T17", what: "small buffers, either end kept, calls in between", tests: []string{"stage.TestCallsBetweenBufferedEvents", "stage.TestB09QueuedCallsInOrder"}, ci: 3_000, long: 100_000, unit: "seeds"},
	{id: "T18", what: "fairness among windows of 1 to 1000", tests: []string{"stage.TestSmallWindowsGetTheirShare"}, ci: 20, long: 500, unit: "seeds", note: "of a source that answers demand; what is emitted beside it goes to the largest demand first, by design"},
	{id: "T19", what: "a hundred subscribe while a producer accumulates", tests: []string{"stage.TestAccumulatingUntilAHundredHaveSubscribed"}, ci: 200, long: 200, unit: "subscribers"},
	{id: "T20", what: "a thousand goroutines ask on one subscription", tests: []string{"stage.TestAThousandGoroutinesAsk", "stage.TestAsksFromManyGoroutinesWhileEventsFlow", "stage.TestAskFromAnyGoroutineIsCreditedToTheConsumer"}, ci: 20_000, long: 500_000, unit: "goroutines"},
}

var userCode = []row{
	{id: "T21", what: "every user function in every kind of stage fails in every way", tests: []string{"stage.TestFailureOfAStageAlone", "stage.TestFailureOfAMember", "stage.TestEveryOtherFunctionFailsInEveryWay", "stage.TestSupervisorEveryEndOfAChild"}, ci: 800, long: 800, unit: "cells"},
	{id: "T22", what: "a poison event among ten thousand", tests: []string{"stage.TestSupervisorMaxAttempts"}, ci: 10_000, long: 10_000, unit: "events"},
	{id: "T23", what: "a callback that never returns", tests: []string{"stage.TestBusyCallback", "stage.TestStopNamesTheStuck", "stage.TestStuckInEveryCallback"}, ci: 162, long: 162, unit: "cells"},
	{id: "T24", what: "the late result of an abandoned callback", tests: []string{"stage.TestLateResults"}, ci: 4, long: 4, unit: "cells"},
	{id: "T25", what: "one slow consumer among nine fast ones", tests: []string{"stage.TestASlowConsumerSlowsNobodyDown"}, ci: 1, long: 1, unit: "events", note: "five seconds of the bubble's time, with and without the slow one"},
	{id: "T26", what: "a stuck consumer of a broadcast", tests: []string{"stage.TestAStuckConsumerOfABroadcast", "stage.TestLagDisconnect"}, ci: 2, long: 2, unit: "cells", note: "Stats shows who holds the others up; Lag detaches it"},
	{id: "T27", what: "waiting for oneself", tests: []string{"stage.TestSelfCall"}, ci: 80, long: 80, unit: "cells"},
	{id: "T28", what: "rings of calls", tests: []string{"stage.TestRingOfDo", "stage.TestRingOfDoAtTheSameTime", "stage.TestRingThroughEveryHook", "stage.TestRingThatNobodySees", "stage.TestRingThroughAFactory"}, ci: 915, long: 9_000, unit: "rings"},
	{id: "T29", what: "a goroutine of the user's panics", tests: []string{"stage.TestAPanicOfAGoroutineOfTheUsers"}, ci: 2, long: 2, unit: "cells", note: "there is no guarded go: results come home by Tell, which is guarded"},
	{id: "T30", what: "a received slice is kept", tests: []string{"stage.TestKeptSlicesStayAsTheyWere", "stage.TestProducerConsumerMayReturnTheSliceItWasGiven"}, ci: 6, long: 6, unit: "cells", note: "a received slice may be kept, not modified: so it is documented"},
}

var lifecycle = []row{
	{id: "T31", what: "cancel mode × reason", tests: []string{"stage.TestSubscriptionEndAlone"}, ci: 78, long: 78, unit: "cells"},
	{id: "T32", what: "Stop at random instants of three layers", tests: []string{"stage.TestStopAtRandomInstants"}, ci: 1_000, long: 50_000, unit: "instants"},
	{id: "T33", what: "Abort at random instants", tests: []string{"stage.TestAbortAtRandomInstants", "stage.TestAbortIsTheLastCallback"}, ci: 1_000, long: 50_000, unit: "instants"},
	{id: "T34", what: "Stop, Abort and Run from many goroutines", tests: []string{"stage.TestStopAbortAndRunFromManyGoroutines", "stage.TestStorm"}, ci: 10_000, long: 200_000, unit: "rounds of 64"},
	{id: "T35", what: "the context ends in each phase of a run", tests: []string{"stage.TestContextEnds"}, ci: 18, long: 18, unit: "cells"},
	{id: "T36", what: "every method at the wrong time", tests: []string{"stage.TestEveryMethodOfNothing", "stage.TestEveryMethodInEveryState", "stage.TestEveryMethodOfASubscription", "stage.TestBeforeRunAndAfterTheEnd", "stage.TestZeroValues"}, ci: 400, long: 400, unit: "calls"},
	{id: "T37", what: "cancel out of order", tests: []string{"stage.TestCancelInAnyOrder", "stage.TestCrashAfterCancel"}, ci: 10_000, long: 200_000, unit: "seeds"},
	{id: "T38", what: "Resubscribe leaves no gap", tests: []string{"stage.TestResubscribeDuringTraffic"}, ci: 5_000, long: 100_000, unit: "seeds"},
	{id: "T39", what: "one-for-one, rest-for-one, one-for-all", tests: []string{"stage.TestSupervisorStopsAndStartsAsOTP"}, ci: 18, long: 18, unit: "cells"},
	{id: "T40", what: "the intensity of restarts is exact", tests: []string{"stage.TestSupervisorOfStagesIntensityIsExact", "stage.TestSupervisorIntensityIsExact"}, ci: 10, long: 10, unit: "schedules"},
	{id: "T41", what: "backoff spreads a thousand that fail together", tests: []string{"stage.TestSupervisorSpreadsRestarts", "stage.TestSupervisorBackoffSpreads", "stage.TestSupervisorBackoffIsNoBusyLoop"}, ci: 2_000, long: 3_000, unit: "restarts"},
	{id: "T42", what: "crashes while restarting and stopping", tests: []string{"stage.TestSupervisorStopStartsNothing", "stage.TestSupervisorStopDuringARestart", "stage.TestSupervisorOnInitFailsAtARestart", "stage.TestSupervisorOnTerminatePanics", "stage.TestSupervisorRunAndStopStorm"}, ci: 3_000, long: 60_000, unit: "runs"},
	{id: "T43", what: "subscribing while the producer restarts", tests: []string{"stage.TestSupervisorSubscriptionsOfOutsidersComeBack", "stage.TestAloneSubscriptionComesBack"}, ci: 9, long: 9, unit: "cells"},
}

var load = []row{
	{id: "T44", what: "100,000 consumers of one producer", tests: []string{"stage.TestManyConsumersOfOneProducer", "stage.TestDemandDispatcherAskIsLogarithmic"}, ci: 20_000, long: 100_000, unit: "consumers", note: "the limit is 12 KiB each, with what the test itself keeps; W11 of the benchmarks measures 7.9 KB, where 8 KiB was the aim; an ask is compared by its steps, 2 log n, not by its time"},
	{id: "T45", what: "a million starts and ends", tests: []string{"stage.TestConsumersComeAndGo"}, ci: 20_000, long: 1_000_000, unit: "consumers"},
	{id: "T46", what: "ten million events through three stages: memory is flat", tests: []string{"stage.TestMemoryIsFlat"}, ci: 1_000_000, long: 10_000_000, unit: "events"},
	{id: "T47", what: "a long storm of restarts and cancels", tests: []string{"stage.TestALongStorm"}, ci: 20, long: 600, unit: "seconds of the bubble's time"},
	{id: "T48", what: "an endless source and a stuck sink in little memory", tests: []string{"stage.TestAStuckSinkHoldsTheSource"}, ci: 1, long: 1, unit: "run"},
	{id: "T49", what: "GOMAXPROCS 1, 2, 64, no asynchronous preemption", tests: []string{"stage.TestOtherSchedules"}, ci: 4, long: 4, unit: "schedules"},
	{id: "T50", what: "a day of idling, then an event", tests: []string{"stage.TestADayOfIdling"}, ci: 1, long: 1, unit: "day"},
}
