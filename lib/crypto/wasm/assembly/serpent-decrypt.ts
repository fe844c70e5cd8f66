/**
 * Serpent (R. Anderson, E. Biham, L. Knudsen, "Serpent: A Proposal for the Advanced Encryption Standard", 1998),
 * decryption, eight blocks side by side: one vector holds the same word of four, and there are two sets of vectors,
 * since one alone would leave half of the machine waiting. The S-boxes are the circuits of D. A. Osvik, "Speeding up
 * Serpent" (AES3, 2000): a to d (p to s) go in, x0 to x3 (y0 to y3) come out. The schedule is serpent-key.ts's.
 */
import { and, key, mixKey8, not, or, rotate, shl, transpose8, xor } from './serpent-key.js';

/**
 * Eight rounds with the keys at `k`, each with the linear transformation inverted behind it. In a function of its own, with
 * the state in memory between: as a loop over 32 rounds V8 keeps most of the state on the stack, at 2/3 of the speed.
 */
function turn(k: usize, at: usize): void {
  let x0 = v128.load(at), x1 = v128.load(at, 16), x2 = v128.load(at, 32), x3 = v128.load(at, 48);
  let y0 = v128.load(at, 64), y1 = v128.load(at, 80), y2 = v128.load(at, 96), y3 = v128.load(at, 112);
  let a = x0, b = x1, c = x2, d = x3, e = x0, p = y0, q = y1, r = y2, s = y3, t = y0;
  let k0 = x0, k1 = x0, k2 = x0, k3 = x0;
  // The inverse of S7
  a = x0; b = x1; c = x2; d = x3; p = y0; q = y1; r = y2; s = y3;
  e = c; c = xor(c, a); a = and(a, d); e = or(e, d); c = not(c); d = xor(d, b); b = or(b, a);
  a = xor(a, c); c = and(c, e); d = and(d, e); b = xor(b, c); c = xor(c, a); a = or(a, c);
  e = xor(e, b); a = xor(a, d); d = xor(d, e); e = or(e, a); d = xor(d, c); e = xor(e, c); x0 = d;
  x1 = a; x2 = b; x3 = e; t = r; r = xor(r, p); p = and(p, s); t = or(t, s); r = not(r);
  s = xor(s, q); q = or(q, p); p = xor(p, r); r = and(r, t); s = and(s, t); q = xor(q, r);
  r = xor(r, p); p = or(p, r); t = xor(t, q); p = xor(p, s); s = xor(s, t); t = or(t, p);
  s = xor(s, r); t = xor(t, r); y0 = s; y1 = p; y2 = q; y3 = t;
  k0 = key(k, 112); x0 = xor(x0, k0); y0 = xor(y0, k0); k1 = key(k, 116); x1 = xor(x1, k1);
  y1 = xor(y1, k1); k2 = key(k, 120); x2 = xor(x2, k2); y2 = xor(y2, k2); k3 = key(k, 124);
  x3 = xor(x3, k3); y3 = xor(y3, k3);
  x2 = rotate(x2, 10); x0 = rotate(x0, 27); x2 = xor(x2, xor(x3, shl(x1, 7))); x0 = xor(x0, xor(x1, x3));
  x3 = rotate(x3, 25); x1 = rotate(x1, 31); x3 = xor(x3, xor(x2, shl(x0, 3))); x1 = xor(x1, xor(x0, x2));
  x2 = rotate(x2, 29); x0 = rotate(x0, 19); y2 = rotate(y2, 10); y0 = rotate(y0, 27);
  y2 = xor(y2, xor(y3, shl(y1, 7))); y0 = xor(y0, xor(y1, y3)); y3 = rotate(y3, 25); y1 = rotate(y1, 31);
  y3 = xor(y3, xor(y2, shl(y0, 3))); y1 = xor(y1, xor(y0, y2)); y2 = rotate(y2, 29); y0 = rotate(y0, 19);
  // The inverse of S6
  a = x0; b = x1; c = x2; d = x3; p = y0; q = y1; r = y2; s = y3;
  a = xor(a, c); e = c; c = and(c, a); e = xor(e, d); c = not(c); d = xor(d, b); c = xor(c, d);
  e = or(e, a); a = xor(a, c); d = xor(d, e); e = xor(e, b); b = and(b, d); b = xor(b, a);
  a = xor(a, d); a = or(a, c); d = xor(d, b); e = xor(e, a); x0 = b; x1 = c; x2 = e; x3 = d;
  p = xor(p, r); t = r; r = and(r, p); t = xor(t, s); r = not(r); s = xor(s, q); r = xor(r, s);
  t = or(t, p); p = xor(p, r); s = xor(s, t); t = xor(t, q); q = and(q, s); q = xor(q, p);
  p = xor(p, s); p = or(p, r); s = xor(s, q); t = xor(t, p); y0 = q; y1 = r; y2 = t; y3 = s;
  k0 = key(k, 96); x0 = xor(x0, k0); y0 = xor(y0, k0); k1 = key(k, 100); x1 = xor(x1, k1);
  y1 = xor(y1, k1); k2 = key(k, 104); x2 = xor(x2, k2); y2 = xor(y2, k2); k3 = key(k, 108);
  x3 = xor(x3, k3); y3 = xor(y3, k3);
  x2 = rotate(x2, 10); x0 = rotate(x0, 27); x2 = xor(x2, xor(x3, shl(x1, 7))); x0 = xor(x0, xor(x1, x3));
  x3 = rotate(x3, 25); x1 = rotate(x1, 31); x3 = xor(x3, xor(x2, shl(x0, 3))); x1 = xor(x1, xor(x0, x2));
  x2 = rotate(x2, 29); x0 = rotate(x0, 19); y2 = rotate(y2, 10); y0 = rotate(y0, 27);
  y2 = xor(y2, xor(y3, shl(y1, 7))); y0 = xor(y0, xor(y1, y3)); y3 = rotate(y3, 25); y1 = rotate(y1, 31);
  y3 = xor(y3, xor(y2, shl(y0, 3))); y1 = xor(y1, xor(y0, y2)); y2 = rotate(y2, 29); y0 = rotate(y0, 19);
  // The inverse of S5
  a = x0; b = x1; c = x2; d = x3; p = y0; q = y1; r = y2; s = y3;
  b = not(b); e = d; c = xor(c, b); d = or(d, a); d = xor(d, c); c = or(c, b); c = and(c, a);
  e = xor(e, d); c = xor(c, e); e = or(e, a); e = xor(e, b); b = and(b, c); b = xor(b, d);
  e = xor(e, c); d = and(d, e); e = xor(e, b); d = xor(d, e); e = not(e); d = xor(d, a); x0 = b;
  x1 = e; x2 = d; x3 = c; q = not(q); t = s; r = xor(r, q); s = or(s, p); s = xor(s, r); r = or(r, q);
  r = and(r, p); t = xor(t, s); r = xor(r, t); t = or(t, p); t = xor(t, q); q = and(q, r);
  q = xor(q, s); t = xor(t, r); s = and(s, t); t = xor(t, q); s = xor(s, t); t = not(t);
  s = xor(s, p); y0 = q; y1 = t; y2 = s; y3 = r;
  k0 = key(k, 80); x0 = xor(x0, k0); y0 = xor(y0, k0); k1 = key(k, 84); x1 = xor(x1, k1);
  y1 = xor(y1, k1); k2 = key(k, 88); x2 = xor(x2, k2); y2 = xor(y2, k2); k3 = key(k, 92);
  x3 = xor(x3, k3); y3 = xor(y3, k3);
  x2 = rotate(x2, 10); x0 = rotate(x0, 27); x2 = xor(x2, xor(x3, shl(x1, 7))); x0 = xor(x0, xor(x1, x3));
  x3 = rotate(x3, 25); x1 = rotate(x1, 31); x3 = xor(x3, xor(x2, shl(x0, 3))); x1 = xor(x1, xor(x0, x2));
  x2 = rotate(x2, 29); x0 = rotate(x0, 19); y2 = rotate(y2, 10); y0 = rotate(y0, 27);
  y2 = xor(y2, xor(y3, shl(y1, 7))); y0 = xor(y0, xor(y1, y3)); y3 = rotate(y3, 25); y1 = rotate(y1, 31);
  y3 = xor(y3, xor(y2, shl(y0, 3))); y1 = xor(y1, xor(y0, y2)); y2 = rotate(y2, 29); y0 = rotate(y0, 19);
  // The inverse of S4
  a = x0; b = x1; c = x2; d = x3; p = y0; q = y1; r = y2; s = y3;
  e = c; c = and(c, d); c = xor(c, b); b = or(b, d); b = and(b, a); e = xor(e, c); e = xor(e, b);
  b = and(b, c); a = not(a); d = xor(d, e); b = xor(b, d); d = and(d, a); d = xor(d, c);
  a = xor(a, b); c = and(c, a); d = xor(d, a); c = xor(c, e); c = or(c, d); d = xor(d, a);
  c = xor(c, b); x0 = a; x1 = d; x2 = c; x3 = e; t = r; r = and(r, s); r = xor(r, q); q = or(q, s);
  q = and(q, p); t = xor(t, r); t = xor(t, q); q = and(q, r); p = not(p); s = xor(s, t);
  q = xor(q, s); s = and(s, p); s = xor(s, r); p = xor(p, q); r = and(r, p); s = xor(s, p);
  r = xor(r, t); r = or(r, s); s = xor(s, p); r = xor(r, q); y0 = p; y1 = s; y2 = r; y3 = t;
  k0 = key(k, 64); x0 = xor(x0, k0); y0 = xor(y0, k0); k1 = key(k, 68); x1 = xor(x1, k1);
  y1 = xor(y1, k1); k2 = key(k, 72); x2 = xor(x2, k2); y2 = xor(y2, k2); k3 = key(k, 76);
  x3 = xor(x3, k3); y3 = xor(y3, k3);
  x2 = rotate(x2, 10); x0 = rotate(x0, 27); x2 = xor(x2, xor(x3, shl(x1, 7))); x0 = xor(x0, xor(x1, x3));
  x3 = rotate(x3, 25); x1 = rotate(x1, 31); x3 = xor(x3, xor(x2, shl(x0, 3))); x1 = xor(x1, xor(x0, x2));
  x2 = rotate(x2, 29); x0 = rotate(x0, 19); y2 = rotate(y2, 10); y0 = rotate(y0, 27);
  y2 = xor(y2, xor(y3, shl(y1, 7))); y0 = xor(y0, xor(y1, y3)); y3 = rotate(y3, 25); y1 = rotate(y1, 31);
  y3 = xor(y3, xor(y2, shl(y0, 3))); y1 = xor(y1, xor(y0, y2)); y2 = rotate(y2, 29); y0 = rotate(y0, 19);
  // The inverse of S3
  a = x0; b = x1; c = x2; d = x3; p = y0; q = y1; r = y2; s = y3;
  e = c; c = xor(c, b); a = xor(a, c); e = and(e, c); e = xor(e, a); a = and(a, b); b = xor(b, d);
  d = or(d, e); c = xor(c, d); a = xor(a, d); b = xor(b, e); d = and(d, c); d = xor(d, b);
  b = xor(b, a); b = or(b, c); a = xor(a, d); b = xor(b, e); a = xor(a, b); x0 = c; x1 = b; x2 = d;
  x3 = a; t = r; r = xor(r, q); p = xor(p, r); t = and(t, r); t = xor(t, p); p = and(p, q);
  q = xor(q, s); s = or(s, t); r = xor(r, s); p = xor(p, s); q = xor(q, t); s = and(s, r);
  s = xor(s, q); q = xor(q, p); q = or(q, r); p = xor(p, s); q = xor(q, t); p = xor(p, q); y0 = r;
  y1 = q; y2 = s; y3 = p;
  k0 = key(k, 48); x0 = xor(x0, k0); y0 = xor(y0, k0); k1 = key(k, 52); x1 = xor(x1, k1);
  y1 = xor(y1, k1); k2 = key(k, 56); x2 = xor(x2, k2); y2 = xor(y2, k2); k3 = key(k, 60);
  x3 = xor(x3, k3); y3 = xor(y3, k3);
  x2 = rotate(x2, 10); x0 = rotate(x0, 27); x2 = xor(x2, xor(x3, shl(x1, 7))); x0 = xor(x0, xor(x1, x3));
  x3 = rotate(x3, 25); x1 = rotate(x1, 31); x3 = xor(x3, xor(x2, shl(x0, 3))); x1 = xor(x1, xor(x0, x2));
  x2 = rotate(x2, 29); x0 = rotate(x0, 19); y2 = rotate(y2, 10); y0 = rotate(y0, 27);
  y2 = xor(y2, xor(y3, shl(y1, 7))); y0 = xor(y0, xor(y1, y3)); y3 = rotate(y3, 25); y1 = rotate(y1, 31);
  y3 = xor(y3, xor(y2, shl(y0, 3))); y1 = xor(y1, xor(y0, y2)); y2 = rotate(y2, 29); y0 = rotate(y0, 19);
  // The inverse of S2
  a = x0; b = x1; c = x2; d = x3; p = y0; q = y1; r = y2; s = y3;
  c = xor(c, d); d = xor(d, a); e = d; d = and(d, c); d = xor(d, b); b = or(b, c); b = xor(b, e);
  e = and(e, d); c = xor(c, d); e = and(e, a); e = xor(e, c); c = and(c, b); c = or(c, a); d = not(d);
  c = xor(c, d); a = xor(a, d); a = and(a, b); d = xor(d, e); d = xor(d, a); x0 = b; x1 = e; x2 = c;
  x3 = d; r = xor(r, s); s = xor(s, p); t = s; s = and(s, r); s = xor(s, q); q = or(q, r);
  q = xor(q, t); t = and(t, s); r = xor(r, s); t = and(t, p); t = xor(t, r); r = and(r, q);
  r = or(r, p); s = not(s); r = xor(r, s); p = xor(p, s); p = and(p, q); s = xor(s, t); s = xor(s, p);
  y0 = q; y1 = t; y2 = r; y3 = s;
  k0 = key(k, 32); x0 = xor(x0, k0); y0 = xor(y0, k0); k1 = key(k, 36); x1 = xor(x1, k1);
  y1 = xor(y1, k1); k2 = key(k, 40); x2 = xor(x2, k2); y2 = xor(y2, k2); k3 = key(k, 44);
  x3 = xor(x3, k3); y3 = xor(y3, k3);
  x2 = rotate(x2, 10); x0 = rotate(x0, 27); x2 = xor(x2, xor(x3, shl(x1, 7))); x0 = xor(x0, xor(x1, x3));
  x3 = rotate(x3, 25); x1 = rotate(x1, 31); x3 = xor(x3, xor(x2, shl(x0, 3))); x1 = xor(x1, xor(x0, x2));
  x2 = rotate(x2, 29); x0 = rotate(x0, 19); y2 = rotate(y2, 10); y0 = rotate(y0, 27);
  y2 = xor(y2, xor(y3, shl(y1, 7))); y0 = xor(y0, xor(y1, y3)); y3 = rotate(y3, 25); y1 = rotate(y1, 31);
  y3 = xor(y3, xor(y2, shl(y0, 3))); y1 = xor(y1, xor(y0, y2)); y2 = rotate(y2, 29); y0 = rotate(y0, 19);
  // The inverse of S1
  a = x0; b = x1; c = x2; d = x3; p = y0; q = y1; r = y2; s = y3;
  e = b; b = xor(b, d); d = and(d, b); e = xor(e, c); d = xor(d, a); a = or(a, b); c = xor(c, d);
  a = xor(a, e); a = or(a, c); b = xor(b, d); a = xor(a, b); b = or(b, d); b = xor(b, a); e = not(e);
  e = xor(e, b); b = or(b, a); b = xor(b, a); b = or(b, e); d = xor(d, b); x0 = e; x1 = a; x2 = d;
  x3 = c; t = q; q = xor(q, s); s = and(s, q); t = xor(t, r); s = xor(s, p); p = or(p, q);
  r = xor(r, s); p = xor(p, t); p = or(p, r); q = xor(q, s); p = xor(p, q); q = or(q, s);
  q = xor(q, p); t = not(t); t = xor(t, q); q = or(q, p); q = xor(q, p); q = or(q, t); s = xor(s, q);
  y0 = t; y1 = p; y2 = s; y3 = r;
  k0 = key(k, 16); x0 = xor(x0, k0); y0 = xor(y0, k0); k1 = key(k, 20); x1 = xor(x1, k1);
  y1 = xor(y1, k1); k2 = key(k, 24); x2 = xor(x2, k2); y2 = xor(y2, k2); k3 = key(k, 28);
  x3 = xor(x3, k3); y3 = xor(y3, k3);
  x2 = rotate(x2, 10); x0 = rotate(x0, 27); x2 = xor(x2, xor(x3, shl(x1, 7))); x0 = xor(x0, xor(x1, x3));
  x3 = rotate(x3, 25); x1 = rotate(x1, 31); x3 = xor(x3, xor(x2, shl(x0, 3))); x1 = xor(x1, xor(x0, x2));
  x2 = rotate(x2, 29); x0 = rotate(x0, 19); y2 = rotate(y2, 10); y0 = rotate(y0, 27);
  y2 = xor(y2, xor(y3, shl(y1, 7))); y0 = xor(y0, xor(y1, y3)); y3 = rotate(y3, 25); y1 = rotate(y1, 31);
  y3 = xor(y3, xor(y2, shl(y0, 3))); y1 = xor(y1, xor(y0, y2)); y2 = rotate(y2, 29); y0 = rotate(y0, 19);
  // The inverse of S0
  a = x0; b = x1; c = x2; d = x3; p = y0; q = y1; r = y2; s = y3;
  c = not(c); e = b; b = or(b, a); e = not(e); b = xor(b, c); c = or(c, e); b = xor(b, d);
  a = xor(a, e); c = xor(c, a); a = and(a, d); e = xor(e, a); a = or(a, b); a = xor(a, c);
  d = xor(d, e); c = xor(c, b); d = xor(d, a); d = xor(d, b); c = and(c, d); e = xor(e, c); x0 = a;
  x1 = e; x2 = b; x3 = d; r = not(r); t = q; q = or(q, p); t = not(t); q = xor(q, r); r = or(r, t);
  q = xor(q, s); p = xor(p, t); r = xor(r, p); p = and(p, s); t = xor(t, p); p = or(p, q);
  p = xor(p, r); s = xor(s, t); r = xor(r, q); s = xor(s, p); s = xor(s, q); r = and(r, s);
  t = xor(t, r); y0 = p; y1 = t; y2 = q; y3 = s;
  k0 = key(k, 0); x0 = xor(x0, k0); y0 = xor(y0, k0); k1 = key(k, 4); x1 = xor(x1, k1);
  y1 = xor(y1, k1); k2 = key(k, 8); x2 = xor(x2, k2); y2 = xor(y2, k2); k3 = key(k, 12);
  x3 = xor(x3, k3); y3 = xor(y3, k3);
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

/** The linear transformation, alone. */
function redoTransformation(at: usize): void {
  let x0 = v128.load(at), x1 = v128.load(at, 16), x2 = v128.load(at, 32), x3 = v128.load(at, 48);
  let y0 = v128.load(at, 64), y1 = v128.load(at, 80), y2 = v128.load(at, 96), y3 = v128.load(at, 112);
  x0 = rotate(x0, 13); x2 = rotate(x2, 3); x1 = xor(x1, xor(x0, x2)); x3 = xor(x3, xor(x2, shl(x0, 3)));
  x1 = rotate(x1, 1); x3 = rotate(x3, 7); x0 = xor(x0, xor(x1, x3)); x2 = xor(x2, xor(x3, shl(x1, 7)));
  x0 = rotate(x0, 5); x2 = rotate(x2, 22); y0 = rotate(y0, 13); y2 = rotate(y2, 3); y1 = xor(y1, xor(y0, y2));
  y3 = xor(y3, xor(y2, shl(y0, 3))); y1 = rotate(y1, 1); y3 = rotate(y3, 7); y0 = xor(y0, xor(y1, y3));
  y2 = xor(y2, xor(y3, shl(y1, 7))); y0 = rotate(y0, 5); y2 = rotate(y2, 22);
  v128.store(at, x0);
  v128.store(at, x1, 16);
  v128.store(at, x2, 32);
  v128.store(at, x3, 48);
  v128.store(at, y0, 64);
  v128.store(at, y1, 80);
  v128.store(at, y2, 96);
  v128.store(at, y3, 112);
}

/** Decrypts 128 bytes. */
export function serpentDecrypt8(schedule: usize, source: usize, target: usize): void {
  transpose8(source, target);
  mixKey8(schedule + 512, target);
  for (let k = schedule + 384; k >= schedule; k -= 128) turn(k, target);
  // Each round ended with the inverse linear transformation, which the last one has not.
  redoTransformation(target);
  transpose8(target, target);
}
