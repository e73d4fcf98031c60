"""What should happen. Pure: no I/O, no clock, no SQL, no logging; told the time as an argument."""
