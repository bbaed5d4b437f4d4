
	*
hello