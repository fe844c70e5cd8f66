/**
 * Serpent (R. Anderson, E. Biham, L. Knudsen, "Serpent: A Proposal for the Advanced Encryption Standard", 1998),
 * encryption, eight blocks side by side: one vector holds the same word of four, and there are two sets of vectors,
 * since one alone would leave half of the machine waiting. The S-boxes are the circuits of D. A. Osvik, "Speeding up
 * Serpent" (AES3, 2000): a to d (p to s) go in, x0 to x3 (y0 to y3) come out. The schedule is serpent-key.ts's.
 */
import { and, key, mixKey8, not, or, rotate, shl, transpose8, xor } from './serpent-key.js';

/**
 * Eight rounds with the keys at `k`, each with the linear transformation before it. In a function of its own, with
 * the state in memory between: as a loop over 32 rounds V8 keeps most of the state on the stack, at 2/3 of the speed.
 */
function turn(k: usize, at: usize): void {
  let x0 = v128.load(at), x1 = v128.load(at, 16), x2 = v128.load(at, 32), x3 = v128.load(at, 48);
  let y0 = v128.load(at, 64), y1 = v128.load(at, 80), y2 = v128.load(at, 96), y3 = v128.load(at, 112);
  let a = x0, b = x1, c = x2, d = x3, e = x0, p = y0, q = y1, r = y2, s = y3, t = y0;
  let k0 = x0, k1 = x0, k2 = x0, k3 = x0;
  x0 = rotate(x0, 13); x2 = rotate(x2, 3); x1 = xor(x1, xor(x0, x2)); x3 = xor(x3, xor(x2, shl(x0, 3)));
  x1 = rotate(x1, 1); x3 = rotate(x3, 7); x0 = xor(x0, xor(x1, x3)); x2 = xor(x2, xor(x3, shl(x1, 7)));
  x0 = rotate(x0, 5); x2 = rotate(x2, 22); y0 = rotate(y0, 13); y2 = rotate(y2, 3); y1 = xor(y1, xor(y0, y2));
  y3 = xor(y3, xor(y2, shl(y0, 3))); y1 = rotate(y1, 1); y3 = rotate(y3, 7); y0 = xor(y0, xor(y1, y3));
  y2 = xor(y2, xor(y3, shl(y1, 7))); y0 = rotate(y0, 5); y2 = rotate(y2, 22);
  // S0
  k0 = key(k, 0); a = xor(x0, k0); p = xor(y0, k0); k1 = key(k, 4); b = xor(x1, k1); q = xor(y1, k1);
  k2 = key(k, 8); c = xor(x2, k2); r = xor(y2, k2); k3 = key(k, 12); d = xor(x3, k3); s = xor(y3, k3);
  d = xor(d, a); e = b; b = and(b, d); e = xor(e, c); b = xor(b, a); a = or(a, d); a = xor(a, e);
  e = xor(e, d); d = xor(d, c); c = or(c, b); c = xor(c, e); e = not(e); e = or(e, b); b = xor(b, d);
  b = xor(b, e); d = or(d, a); b = xor(b, d); e = xor(e, d); x0 = b; x1 = e; x2 = c; x3 = a;
  s = xor(s, p); t = q; q = and(q, s); t = xor(t, r); q = xor(q, p); p = or(p, s); p = xor(p, t);
  t = xor(t, s); s = xor(s, r); r = or(r, q); r = xor(r, t); t = not(t); t = or(t, q); q = xor(q, s);
  q = xor(q, t); s = or(s, p); q = xor(q, s); t = xor(t, s); y0 = q; y1 = t; y2 = r; y3 = p;
  x0 = rotate(x0, 13); x2 = rotate(x2, 3); x1 = xor(x1, xor(x0, x2)); x3 = xor(x3, xor(x2, shl(x0, 3)));
  x1 = rotate(x1, 1); x3 = rotate(x3, 7); x0 = xor(x0, xor(x1, x3)); x2 = xor(x2, xor(x3, shl(x1, 7)));
  x0 = rotate(x0, 5); x2 = rotate(x2, 22); y0 = rotate(y0, 13); y2 = rotate(y2, 3); y1 = xor(y1, xor(y0, y2));
  y3 = xor(y3, xor(y2, shl(y0, 3))); y1 = rotate(y1, 1); y3 = rotate(y3, 7); y0 = xor(y0, xor(y1, y3));
  y2 = xor(y2, xor(y3, shl(y1, 7))); y0 = rotate(y0, 5); y2 = rotate(y2, 22);
  // S1
  k0 = key(k, 16); a = xor(x0, k0); p = xor(y0, k0); k1 = key(k, 20); b = xor(x1, k1);
  q = xor(y1, k1); k2 = key(k, 24); c = xor(x2, k2); r = xor(y2, k2); k3 = key(k, 28);
  d = xor(x3, k3); s = xor(y3, k3);
  a = not(a); c = not(c); e = a; a = and(a, b); c = xor(c, a); a = or(a, d); d = xor(d, c);
  b = xor(b, a); a = xor(a, e); e = or(e, b); b = xor(b, d); c = or(c, a); c = and(c, e);
  a = xor(a, b); b = and(b, c); b = xor(b, a); a = and(a, c); e = xor(e, a); x0 = c; x1 = e; x2 = d;
  x3 = b; p = not(p); r = not(r); t = p; p = and(p, q); r = xor(r, p); p = or(p, s); s = xor(s, r);
  q = xor(q, p); p = xor(p, t); t = or(t, q); q = xor(q, s); r = or(r, p); r = and(r, t);
  p = xor(p, q); q = and(q, r); q = xor(q, p); p = and(p, r); t = xor(t, p); y0 = r; y1 = t; y2 = s;
  y3 = q;
  x0 = rotate(x0, 13); x2 = rotate(x2, 3); x1 = xor(x1, xor(x0, x2)); x3 = xor(x3, xor(x2, shl(x0, 3)));
  x1 = rotate(x1, 1); x3 = rotate(x3, 7); x0 = xor(x0, xor(x1, x3)); x2 = xor(x2, xor(x3, shl(x1, 7)));
  x0 = rotate(x0, 5); x2 = rotate(x2, 22); y0 = rotate(y0, 13); y2 = rotate(y2, 3); y1 = xor(y1, xor(y0, y2));
  y3 = xor(y3, xor(y2, shl(y0, 3))); y1 = rotate(y1, 1); y3 = rotate(y3, 7); y0 = xor(y0, xor(y1, y3));
  y2 = xor(y2, xor(y3, shl(y1, 7))); y0 = rotate(y0, 5); y2 = rotate(y2, 22);
  // S2
  k0 = key(k, 32); a = xor(x0, k0); p = xor(y0, k0); k1 = key(k, 36); b = xor(x1, k1);
  q = xor(y1, k1); k2 = key(k, 40); c = xor(x2, k2); r = xor(y2, k2); k3 = key(k, 44);
  d = xor(x3, k3); s = xor(y3, k3);
  e = a; a = and(a, c); a = xor(a, d); c = xor(c, b); c = xor(c, a); d = or(d, e); d = xor(d, b);
  e = xor(e, c); b = d; d = or(d, e); d = xor(d, a); a = and(a, b); e = xor(e, a); b = xor(b, d);
  b = xor(b, e); e = not(e); x0 = c; x1 = d; x2 = b; x3 = e; t = p; p = and(p, r); p = xor(p, s);
  r = xor(r, q); r = xor(r, p); s = or(s, t); s = xor(s, q); t = xor(t, r); q = s; s = or(s, t);
  s = xor(s, p); p = and(p, q); t = xor(t, p); q = xor(q, s); q = xor(q, t); t = not(t); y0 = r;
  y1 = s; y2 = q; y3 = t;
  x0 = rotate(x0, 13); x2 = rotate(x2, 3); x1 = xor(x1, xor(x0, x2)); x3 = xor(x3, xor(x2, shl(x0, 3)));
  x1 = rotate(x1, 1); x3 = rotate(x3, 7); x0 = xor(x0, xor(x1, x3)); x2 = xor(x2, xor(x3, shl(x1, 7)));
  x0 = rotate(x0, 5); x2 = rotate(x2, 22); y0 = rotate(y0, 13); y2 = rotate(y2, 3); y1 = xor(y1, xor(y0, y2));
  y3 = xor(y3, xor(y2, shl(y0, 3))); y1 = rotate(y1, 1); y3 = rotate(y3, 7); y0 = xor(y0, xor(y1, y3));
  y2 = xor(y2, xor(y3, shl(y1, 7))); y0 = rotate(y0, 5); y2 = rotate(y2, 22);
  // S3
  k0 = key(k, 48); a = xor(x0, k0); p = xor(y0, k0); k1 = key(k, 52); b = xor(x1, k1);
  q = xor(y1, k1); k2 = key(k, 56); c = xor(x2, k2); r = xor(y2, k2); k3 = key(k, 60);
  d = xor(x3, k3); s = xor(y3, k3);
  e = a; a = or(a, d); d = xor(d, b); b = and(b, e); e = xor(e, c); c = xor(c, d); d = and(d, a);
  e = or(e, b); d = xor(d, e); a = xor(a, b); e = and(e, a); b = xor(b, d); e = xor(e, c);
  b = or(b, a); b = xor(b, c); a = xor(a, d); c = b; b = or(b, d); b = xor(b, a); x0 = b; x1 = c;
  x2 = d; x3 = e; t = p; p = or(p, s); s = xor(s, q); q = and(q, t); t = xor(t, r); r = xor(r, s);
  s = and(s, p); t = or(t, q); s = xor(s, t); p = xor(p, q); t = and(t, p); q = xor(q, s);
  t = xor(t, r); q = or(q, p); q = xor(q, r); p = xor(p, s); r = q; q = or(q, s); q = xor(q, p);
  y0 = q; y1 = r; y2 = s; y3 = t;
  x0 = rotate(x0, 13); x2 = rotate(x2, 3); x1 = xor(x1, xor(x0, x2)); x3 = xor(x3, xor(x2, shl(x0, 3)));
  x1 = rotate(x1, 1); x3 = rotate(x3, 7); x0 = xor(x0, xor(x1, x3)); x2 = xor(x2, xor(x3, shl(x1, 7)));
  x0 = rotate(x0, 5); x2 = rotate(x2, 22); y0 = rotate(y0, 13); y2 = rotate(y2, 3); y1 = xor(y1, xor(y0, y2));
  y3 = xor(y3, xor(y2, shl(y0, 3))); y1 = rotate(y1, 1); y3 = rotate(y3, 7); y0 = xor(y0, xor(y1, y3));
  y2 = xor(y2, xor(y3, shl(y1, 7))); y0 = rotate(y0, 5); y2 = rotate(y2, 22);
  // S4
  k0 = key(k, 64); a = xor(x0, k0); p = xor(y0, k0); k1 = key(k, 68); b = xor(x1, k1);
  q = xor(y1, k1); k2 = key(k, 72); c = xor(x2, k2); r = xor(y2, k2); k3 = key(k, 76);
  d = xor(x3, k3); s = xor(y3, k3);
  b = xor(b, d); d = not(d); c = xor(c, d); d = xor(d, a); e = b; b = and(b, d); b = xor(b, c);
  e = xor(e, d); a = xor(a, e); c = and(c, e); c = xor(c, a); a = and(a, b); d = xor(d, a);
  e = or(e, b); e = xor(e, a); a = or(a, d); a = xor(a, c); c = and(c, d); a = not(a); e = xor(e, c);
  x0 = b; x1 = e; x2 = a; x3 = d; q = xor(q, s); s = not(s); r = xor(r, s); s = xor(s, p); t = q;
  q = and(q, s); q = xor(q, r); t = xor(t, s); p = xor(p, t); r = and(r, t); r = xor(r, p);
  p = and(p, q); s = xor(s, p); t = or(t, q); t = xor(t, p); p = or(p, s); p = xor(p, r);
  r = and(r, s); p = not(p); t = xor(t, r); y0 = q; y1 = t; y2 = p; y3 = s;
  x0 = rotate(x0, 13); x2 = rotate(x2, 3); x1 = xor(x1, xor(x0, x2)); x3 = xor(x3, xor(x2, shl(x0, 3)));
  x1 = rotate(x1, 1); x3 = rotate(x3, 7); x0 = xor(x0, xor(x1, x3)); x2 = xor(x2, xor(x3, shl(x1, 7)));
  x0 = rotate(x0, 5); x2 = rotate(x2, 22); y0 = rotate(y0, 13); y2 = rotate(y2, 3); y1 = xor(y1, xor(y0, y2));
  y3 = xor(y3, xor(y2, shl(y0, 3))); y1 = rotate(y1, 1); y3 = rotate(y3, 7); y0 = xor(y0, xor(y1, y3));
  y2 = xor(y2, xor(y3, shl(y1, 7))); y0 = rotate(y0, 5); y2 = rotate(y2, 22);
  // S5
  k0 = key(k, 80); a = xor(x0, k0); p = xor(y0, k0); k1 = key(k, 84); b = xor(x1, k1);
  q = xor(y1, k1); k2 = key(k, 88); c = xor(x2, k2); r = xor(y2, k2); k3 = key(k, 92);
  d = xor(x3, k3); s = xor(y3, k3);
  a = xor(a, b); b = xor(b, d); d = not(d); e = b; b = and(b, a); c = xor(c, d); b = xor(b, c);
  c = or(c, e); e = xor(e, d); d = and(d, b); d = xor(d, a); e = xor(e, b); e = xor(e, c);
  c = xor(c, a); a = and(a, d); c = not(c); a = xor(a, e); e = or(e, d); e = xor(e, c); x0 = b;
  x1 = d; x2 = a; x3 = e; p = xor(p, q); q = xor(q, s); s = not(s); t = q; q = and(q, p);
  r = xor(r, s); q = xor(q, r); r = or(r, t); t = xor(t, s); s = and(s, q); s = xor(s, p);
  t = xor(t, q); t = xor(t, r); r = xor(r, p); p = and(p, s); r = not(r); p = xor(p, t); t = or(t, s);
  t = xor(t, r); y0 = q; y1 = s; y2 = p; y3 = t;
  x0 = rotate(x0, 13); x2 = rotate(x2, 3); x1 = xor(x1, xor(x0, x2)); x3 = xor(x3, xor(x2, shl(x0, 3)));
  x1 = rotate(x1, 1); x3 = rotate(x3, 7); x0 = xor(x0, xor(x1, x3)); x2 = xor(x2, xor(x3, shl(x1, 7)));
  x0 = rotate(x0, 5); x2 = rotate(x2, 22); y0 = rotate(y0, 13); y2 = rotate(y2, 3); y1 = xor(y1, xor(y0, y2));
  y3 = xor(y3, xor(y2, shl(y0, 3))); y1 = rotate(y1, 1); y3 = rotate(y3, 7); y0 = xor(y0, xor(y1, y3));
  y2 = xor(y2, xor(y3, shl(y1, 7))); y0 = rotate(y0, 5); y2 = rotate(y2, 22);
  // S6
  k0 = key(k, 96); a = xor(x0, k0); p = xor(y0, k0); k1 = key(k, 100); b = xor(x1, k1);
  q = xor(y1, k1); k2 = key(k, 104); c = xor(x2, k2); r = xor(y2, k2); k3 = key(k, 108);
  d = xor(x3, k3); s = xor(y3, k3);
  c = not(c); e = d; d = and(d, a); a = xor(a, e); d = xor(d, c); c = or(c, e); b = xor(b, d);
  c = xor(c, a); a = or(a, b); c = xor(c, b); e = xor(e, a); a = or(a, d); a = xor(a, c);
  e = xor(e, d); e = xor(e, a); d = not(d); c = and(c, e); d = xor(d, c); x0 = a; x1 = b; x2 = e;
  x3 = d; r = not(r); t = s; s = and(s, p); p = xor(p, t); s = xor(s, r); r = or(r, t); q = xor(q, s);
  r = xor(r, p); p = or(p, q); r = xor(r, q); t = xor(t, p); p = or(p, s); p = xor(p, r);
  t = xor(t, s); t = xor(t, p); s = not(s); r = and(r, t); s = xor(s, r); y0 = p; y1 = q; y2 = t;
  y3 = s;
  x0 = rotate(x0, 13); x2 = rotate(x2, 3); x1 = xor(x1, xor(x0, x2)); x3 = xor(x3, xor(x2, shl(x0, 3)));
  x1 = rotate(x1, 1); x3 = rotate(x3, 7); x0 = xor(x0, xor(x1, x3)); x2 = xor(x2, xor(x3, shl(x1, 7)));
  x0 = rotate(x0, 5); x2 = rotate(x2, 22); y0 = rotate(y0, 13); y2 = rotate(y2, 3); y1 = xor(y1, xor(y0, y2));
  y3 = xor(y3, xor(y2, shl(y0, 3))); y1 = rotate(y1, 1); y3 = rotate(y3, 7); y0 = xor(y0, xor(y1, y3));
  y2 = xor(y2, xor(y3, shl(y1, 7))); y0 = rotate(y0, 5); y2 = rotate(y2, 22);
  // S7
  k0 = key(k, 112); a = xor(x0, k0); p = xor(y0, k0); k1 = key(k, 116); b = xor(x1, k1);
  q = xor(y1, k1); k2 = key(k, 120); c = xor(x2, k2); r = xor(y2, k2); k3 = key(k, 124);
  d = xor(x3, k3); s = xor(y3, k3);
  e = b; b = or(b, c); b = xor(b, d); e = xor(e, c); c = xor(c, b); d = or(d, e); d = and(d, a);
  e = xor(e, c); d = xor(d, b); b = or(b, e); b = xor(b, a); a = or(a, e); a = xor(a, c);
  b = xor(b, e); c = xor(c, b); b = and(b, a); b = xor(b, e); c = not(c); c = or(c, a); e = xor(e, c);
  x0 = e; x1 = d; x2 = b; x3 = a; t = q; q = or(q, r); q = xor(q, s); t = xor(t, r); r = xor(r, q);
  s = or(s, t); s = and(s, p); t = xor(t, r); s = xor(s, q); q = or(q, t); q = xor(q, p);
  p = or(p, t); p = xor(p, r); q = xor(q, t); r = xor(r, q); q = and(q, p); q = xor(q, t); r = not(r);
  r = or(r, p); t = xor(t, r); y0 = t; y1 = s; y2 = q; y3 = p;
  v128.store(at, x0);
  v128.store(at, x1, 16);
  v128.store(at, x2, 32);
  v128.store(at, x3, 48);
  v128.store(at, y0, 64);
  v128.store(at, y1, 80);
  v128.store(at, y2, 96);
  v128.store(at, y3, 112);
}

/** The linear transformation, inverted, alone. */
function undoTransformation(at: usize): void {
  let x0 = v128.load(at), x1 = v128.load(at, 16), x2 = v128.load(at, 32), x3 = v128.load(at, 48);
  let y0 = v128.load(at, 64), y1 = v128.load(at, 80), y2 = v128.load(at, 96), y3 = v128.load(at, 112);
  x2 = rotate(x2, 10); x0 = rotate(x0, 27); x2 = xor(x2, xor(x3, shl(x1, 7))); x0 = xor(x0, xor(x1, x3));
  x3 = rotate(x3, 25); x1 = rotate(x1, 31); x3 = xor(x3, xor(x2, shl(x0, 3))); x1 = xor(x1, xor(x0, x2));
  x2 = rotate(x2, 29); x0 = rotate(x0, 19); y2 = rotate(y2, 10); y0 = rotate(y0, 27);
  y2 = xor(y2, xor(y3, shl(y1, 7))); y0 = xor(y0, xor(y1, y3)); y3 = rotate(y3, 25); y1 = rotate(y1, 31);
  y3 = xor(y3, xor(y2, shl(y0, 3))); y1 = xor(y1, xor(y0, y2)); y2 = rotate(y2, 29); y0 = rotate(y0, 19);
  v128.store(at, x0);
  v128.store(at, x1, 16);
  v128.store(at, x2, 32);
  v128.store(at, x3, 48);
  v128.store(at, y0, 64);
  v128.store(at, y1, 80);
  v128.store(at, y2, 96);
  v128.store(at, y3, 112);
}

/** Encrypts 128 bytes. */
export function serpentEncrypt8(schedule: usize, source: usize, target: usize): void {
  transpose8(source, target);
  // Each round begins with the linear transformation, which the first one has not.
  undoTransformation(target);
  for (let k = schedule; k < schedule + 512; k += 128) turn(k, target);
  mixKey8(schedule + 512, target);
  transpose8(target, target);
}
