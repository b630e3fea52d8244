/* Formulas: what request-time functions do to one point, step by step, as numpy would.
 *
 * A step has four numbers: its operation and up to three earlier steps. Truth values are 1 and 0.
 * Told in core/features/formulas.py; every operation here is exact or correctly rounded, so there
 * is one right answer to the last bit. */
#ifndef THROUGHLINE_FORMULAS_H
#define THROUGHLINE_FORMULAS_H

#include <math.h>
#include <stdint.h>

#define MAX_STEPS 512

enum {
    INPUT, CONSTANT, OUTPUT, ADD, SUBTRACT, MULTIPLY, DIVIDE, REMAINDER, FLOOR_DIVIDE, FLOOR, CEIL,
    TRUNC, RINT, ABSOLUTE, NEGATIVE, SQRT, LESS, LESS_EQUAL, GREATER, GREATER_EQUAL, EQUAL,
    NOT_EQUAL, IS_NAN, IS_FINITE, IS_INF, AND, OR, XOR, NOT, WHERE
};
enum { S_OPERATION, S_A, S_B, S_C, S_SIZE };

/* The remainder has the sign of the divisor. */
static double remainder_of(double a, double b) {
    double rest = fmod(a, b);
    if (!b) return rest;
    if (!rest) return copysign(0.0, b);
    return (b < 0) != (rest < 0) ? rest + b : rest;
}

static double floor_divided(double a, double b) {
    if (!b) return a / b;
    double rest = fmod(a, b), quotient = (a - rest) / b;
    if (rest && (b < 0) != (rest < 0)) quotient -= 1.0;
    if (!quotient) return copysign(0.0, a / b);
    double whole = floor(quotient);
    return quotient - whole > 0.5 ? whole + 1.0 : whole;
}

static double step_of(int64_t operation, double a, double b, double c) {
    switch (operation) {
        case ADD: return a + b;
        case SUBTRACT: return a - b;
        case MULTIPLY: return a * b;
        case DIVIDE: return a / b;
        case REMAINDER: return remainder_of(a, b);
        case FLOOR_DIVIDE: return floor_divided(a, b);
        case FLOOR: return floor(a);
        case CEIL: return ceil(a);
        case TRUNC: return trunc(a);
        case RINT: return rint(a);
        case ABSOLUTE: return fabs(a);
        case NEGATIVE: return -a;
        case SQRT: return sqrt(a);
        case LESS: return a < b;
        case LESS_EQUAL: return a <= b;
        case GREATER: return a > b;
        case GREATER_EQUAL: return a >= b;
        case EQUAL: return a == b;
        case NOT_EQUAL: return a != b;
        case IS_NAN: return isnan(a) != 0;
        case IS_FINITE: return isfinite(a) != 0;
        case IS_INF: return isinf(a) != 0;
        case AND: return a && b;
        case OR: return a || b;
        case XOR: return a != b;
        case NOT: return !a;
        default: return a ? b : c;
    }
}

/* One point's column of a table whose rows have `n_points` numbers each. */
static void follow(const int64_t *steps, int64_t n_steps, const double *constants, double *column,
                   int64_t n_points) {
    double cells[MAX_STEPS];
    for (int64_t n = 0; n < n_steps; n++, steps += S_SIZE) {
        int64_t a = steps[S_A];
        switch (steps[S_OPERATION]) {
            case INPUT: cells[n] = column[a * n_points]; break;
            case CONSTANT: cells[n] = constants[n]; break;
            case OUTPUT: {
                double found = cells[a];
                column[steps[S_B] * n_points] = isfinite(found) ? found : NAN;
                break;
            }
            default:
                cells[n] = step_of(steps[S_OPERATION], cells[a], cells[steps[S_B]], cells[steps[S_C]]);
        }
    }
}

/* The one cast: to the nearest float32; what is beyond is held at its largest; NaN stays. */
static float nearest(double value) {
    float found = (float)value;
    if (found > 3.40282346638528859812e+38F) return 3.40282346638528859812e+38F;
    if (found < -3.40282346638528859812e+38F) return -3.40282346638528859812e+38F;
    return found;
}

#endif
