package verify

// cellKinds are the cases of the spaces of DARTS.
var cellKinds []kind
