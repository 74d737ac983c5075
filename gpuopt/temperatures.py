"""A year of daily temperatures, made by a formula; they look like London's."""

import math

import numpy as np

SEED = 72977  # makes days 1, 2 and 180 the 40, 49 and 60 degrees of deeplearning.ai's example


def temperatures() -> np.ndarray:
    """365 whole degrees Fahrenheit, as float64; the same everywhere and always.

    Day t = 1, ..., 365 has 51 - 12.5 cos(2 pi (t - 20) / 365) + e_t, rounded: coldest on January
    20, plus weather e_t = 0.7 e_{t-1} + 8 (u_1 + u_2 + u_3 - 1.5) from e_0 = 0. The u are uniform
    in (0, 1): s / (2^31 - 1), where s <- 16807 s mod (2^31 - 1) (Park & Miller 1988).
    """
    days, weather, state = [], 0.0, SEED
    for t in range(1, 366):
        total = 0.0
        for _ in range(3):
            state = 16807 * state % (2**31 - 1)
            total += state / (2**31 - 1)
        weather = 0.7 * weather + 8 * (total - 1.5)
        days.append(round(51 - 12.5 * math.cos(2 * math.pi * (t - 20) / 365) + weather))
    return np.array(days, np.float64)
