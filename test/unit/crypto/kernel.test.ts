import t from 'tap';
import { allocateIoBuffer, releaseIoBuffer, requireKernel } from '../../../lib/crypto/kernel.js';
import { PAGE_BYTES } from '../../../lib/native/page-size.js';
import { run } from '../../kit/run.js';

t.test('the static data of the module ends before the regions begin', async (t) => {
  t.ok(requireKernel().functions.staticEndOffset() <= 65536);
});

t.test('I/O buffers lie in the kernel, apart from each other, and are used again', async (t) => {
  const kernel = requireKernel();
  const first = allocateIoBuffer(1_000_000);
  const second = allocateIoBuffer(100);
  t.equal(first.length, 1_000_000);
  t.ok(kernel.findOffset(second)! >= kernel.findOffset(first)! + first.length);
  releaseIoBuffer(first);
  t.equal(allocateIoBuffer(1_000_000).byteOffset, first.byteOffset);
});

t.test('a page or more starts on a page of the machine', async (t) => {
  const kernel = requireKernel();
  const [small, large] = [allocateIoBuffer(512), allocateIoBuffer(2 * PAGE_BYTES)];
  t.equal((kernel.address! + kernel.findOffset(large)!) % PAGE_BYTES, 0);
  for (const buffer of [small, large]) releaseIoBuffer(buffer);
});

t.test('without room an ordinary buffer serves', async (t) => {
  const buffer = allocateIoBuffer(64 * 2 ** 20);
  t.equal(requireKernel().findOffset(buffer), null);
  releaseIoBuffer(buffer);
});

t.test('room for keys is bounded, zeroed and used again', async (t) => {
  const kernel = requireKernel();
  const offset = kernel.allocateKey(5000);
  kernel.bytes.fill(1, offset, offset + 5000);
  kernel.releaseKey(offset, 5000);
  t.equal(kernel.allocateKey(5000), offset);
  t.ok(kernel.bytes.subarray(offset, offset + 5000).every((byte) => byte === 0));
  t.throws(() => kernel.allocateKey(70_000), { code: 'NO_MEMORY' });
});

const isX64 = process.arch === 'x64';
t.test('a processor without SIMD, such as QEMU gives by default, is named', { skip: !isX64 }, async (t) => {
  const kernel = new URL('../../../lib/crypto/kernel.js', import.meta.url);
  const program = `import(${JSON.stringify(kernel)}).then((kernel) => kernel.requireKernel())
    .catch((error) => console.log(error.code, error.message))`;
  const { stdout } = await run(process.execPath, ['--no-enable-sse4-1', '-e', program]);
  t.match(`${stdout}`, /^UNSUPPORTED .*SIMD.*a newer CPU model/);
});
