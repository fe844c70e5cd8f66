/**
 * The library: `import { openVolume } from 'luksfuse'`.
 *
 * What opens a volume or is to rewrite one claims it as the commands do, until its devices are closed (`image-lock`); each
 * function says what it claims. Those that only read a header, or change keys, tokens or settings in it, claim nothing, as a
 * mounted volume's header may change so; a change takes the header's lock.
 */
export { Device, MemoryDevice, type ReadableDevice } from './device.js';
export { type ErrorCode, LuksError } from './errors.js';
export { backupHeader, previewRestore, restoreHeader } from './format/backup.js';
export { convertHeader } from './format/convert.js';
export { describeHeader } from './format/describe.js';
export type { LuksHeader } from './format/model.js';
export { repairHeader } from './format/repair.js';
export { addToken, configure, keyringToken, removeToken } from './format/settings.js';
export { type KeyringToken, listKeyringTokens, readTokenPassphrase } from './keyslot/keyring-token.js';
export { addKey, changeKey, erase, killSlot, removeKey } from './keyslot/keys.js';
export { findMispairing, recordPairing } from './keyslot/pairing.js';
export type { SecretObject } from './keysource/secret-object.js';
export { type KeySource, readKeySource } from './keysource/source.js';
export type { MountInfo } from './mount/control.js';
export { listMounts } from './mount/list.js';
export { type MountVolumeOptions, mountVolume } from './mount/mount-volume.js';
export { type UnmountOptions, unmountVolume } from './mount/unmount.js';
export { type FormatOptions, formatVolume } from './volume/create.js';
export { type LocatedHeader, type LocateOptions, locateHeader } from './volume/locate.js';
export { wipePayload } from './volume/noise.js';
export { openVolume, type Unlock } from './volume/open.js';
export { type ReencryptionTarget, type RunOptions, runReencryption } from './volume/reencrypt.js';
export {
  type BeginOptions,
  beginDecryption,
  beginEncryption,
  beginReencryption,
  type ReencryptOptions,
} from './volume/reencrypt-begin.js';
export { openReencryption } from './volume/reencrypt-open.js';
export type { ReencryptionState } from './volume/reencrypt-parts.js';
export { Volume } from './volume/volume.js';
