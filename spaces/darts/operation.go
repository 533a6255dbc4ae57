package darts

// The operations of the family, by the names of the released code. The last two are in
// none of the spaces: only published cells have them.
const (
	None     = "none"
	Noise    = "noise"
	MaxPool  = "max_pool_3x3"
	AvgPool  = "avg_pool_3x3"
	Skip     = "skip_connect"
	SepConv3 = "sep_conv_3x3"
	SepConv5 = "sep_conv_5x5"
	DilConv3 = "dil_conv_3x3"
	DilConv5 = "dil_conv_5x5"
	SepConv7 = "sep_conv_7x7"
	Conv71   = "conv_7x1_1x7"
)

// ParameterFree tells whether an operation counts as free of parameters: poolings,
// skip-connections, also those that halve the resolution and have some there, noise
// (quirk C12) and none.
func ParameterFree(operation string) bool {
	switch operation {
	case None, Noise, MaxPool, AvgPool, Skip:
		return true
	}
	return false
}
