import t from 'tap';
import { runRows, skipFor } from './conformance-suite.js';

for (const kind of ['directory', 'file'] as const) {
  t.test(`dev-fuse on a ${kind}`, { skip: skipFor('dev-fuse') }, (t) => runRows(t, 'dev-fuse', kind));
}
