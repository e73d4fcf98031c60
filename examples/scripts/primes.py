"""How many primes there are from one number up to another: primes.py FIRST END"""

import sys

first, end = int(sys.argv[1]), int(sys.argv[2])
prime = bytearray([1]) * end
prime[:2] = b"\0\0"
for number in range(2, int(end**0.5) + 1):
    if prime[number]:
        prime[number * number :: number] = bytes(len(range(number * number, end, number)))
print(f"{sum(prime[first:])} primes from {first} to {end}")
