package main

// The output of main is that of the example.
func Example() {
	main()
	// Output:
	// errgroup: stage "sink": once
	// [3 4] [5 6] suture: <nil>
	// [3 4] [5 6] supervisor: <nil>
}
