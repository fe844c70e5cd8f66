/**
 * The store that a worker serves: its own view of the volume that the main thread opened (StoreModule).
 */
import { Volume, type VolumeHandle } from '../volume/volume.js';

export function openStore(handle: VolumeHandle): Volume {
  return Volume.fromHandle(handle);
}

export const allocateIoBuffer = Volume.allocateIoBuffer;
