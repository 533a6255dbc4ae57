package engine

// Failure is what a Program or a Vector panics with when its device fails: it was
// lost, or has no memory left. Nothing that the engine holds can be used any more.
type Failure struct{ Err error }

func (f Failure) Error() string { return f.Err.Error() }

// Catch, deferred, makes an error of a Failure. Other panics go on.
func Catch(err *error) {
	switch value := recover().(type) {
	case nil:
	case Failure:
		*err = value
	default:
		panic(value)
	}
}

// Unwrap returns the device's error.
func (f Failure) Unwrap() error { return f.Err }
