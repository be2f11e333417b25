"use strict";
// The decoder: dense layers with their activations, in double precision. The page and its tests run this text.

// erfc(|x|) by its power series below 3 and by its continued fraction (Lentz) from there on; both to double precision.
// Abramowitz and Stegun, Handbook of mathematical functions, 7.1.6 and 7.1.14.
function erfc(x) {
  const a = Math.abs(x);
  let tail;
  if (a < 3) {
    let term = a, sum = a;
    for (let n = 1; n < 120 && term > 1e-17 * sum; n++) { term *= 2 * a * a / (2 * n + 1); sum += term; }
    tail = 1 - 2 / Math.sqrt(Math.PI) * Math.exp(-a * a) * sum;
  } else {
    let f = a, c = a, d = 0;
    for (let n = 1; n < 120; n++) {
      d = 1 / (a + n / 2 * d); c = a + n / 2 / c;
      f *= c * d;
      if (Math.abs(c * d - 1) < 1e-16) break;
    }
    tail = Math.exp(-a * a) / Math.sqrt(Math.PI) / f;
  }
  return x < 0 ? 2 - tail : tail;
}

// As in csrc/math/activation.c.
const ACTIVATIONS = {
  identity: x => x,
  relu: x => Math.max(0, x),
  leaky_relu: x => x < 0 ? 0.01 * x : x,
  elu: x => x > 0 ? x : Math.expm1(x),
  selu: x => x > 0 ? 1.0507009873554805 * x : 1.7580993408473769 * Math.expm1(x),
  gelu: x => x === 0 ? 0 : 0.5 * x * erfc(-x / Math.SQRT2),
  silu: x => x < 0 ? x * Math.exp(x) / (1 + Math.exp(x)) : x / (1 + Math.exp(-x)),
  softplus: x => Math.max(0, x) + Math.log1p(Math.exp(-Math.abs(x))),
  tanh: Math.tanh,
  logistic: x => x < 0 ? Math.exp(x) / (1 + Math.exp(x)) : 1 / (1 + Math.exp(-x)),
  exp: Math.exp,
};

function activate(name, values) {
  if (name !== "softmax") {
    const f = ACTIVATIONS[name];
    for (let i = 0; i < values.length; i++) values[i] = f(values[i]);
    return values;
  }
  let top = -Infinity, sum = 0;
  for (const v of values) top = Math.max(top, v);
  for (let i = 0; i < values.length; i++) { values[i] = Math.exp(values[i] - top); sum += values[i]; }
  for (let i = 0; i < values.length; i++) values[i] /= sum;
  return values;
}

// layers: [{weight: Float32Array (n_in, n_out) by rows, bias: Float32Array (n_out), activations: [names]}]
function decode(layers, code) {
  let x = Float64Array.from(code);
  for (const layer of layers) {
    const n = layer.bias.length, y = Float64Array.from(layer.bias);
    for (let i = 0; i < x.length; i++) {
      const v = x[i];
      if (v !== 0) for (let j = 0, at = i * n; j < n; j++, at++) y[j] += v * layer.weight[at];
    }
    x = y;
    for (const name of layer.activations) activate(name, x);
  }
  return x;
}
