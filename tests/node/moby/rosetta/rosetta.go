// Package rosetta stands for the module of this name, which module proxies do not have. Docker's client asks it whether it
// runs in Apple's translator, to say so in its version.
package rosetta

// Enabled reports whether the program runs in the translator: never, for this one is built for Linux alone.
func Enabled() bool {
	return false
}
