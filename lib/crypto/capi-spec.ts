/**
 * The kernel crypto API's spelling of a spec, `capi:mode(cipher)-ivgen[:hash]` (dm-crypt documentation, "capi:"
 * format), put into the plain spelling. Knows the form only, not which names exist.
 */

const CAPI_FORM = /^capi:(.+)-([a-z0-9]+(?::[a-z0-9-]+)?)$/;
const MODE_FORM = /^([a-z0-9]+)\(([a-z0-9_]+)\)$/;
/** The hash is always nhpoly1305, said or not. */
const ADIANTUM_FORM = /^adiantum\(([a-z0-9]+,[a-z0-9]+)(?:,nhpoly1305)?\)$/;
const ESSIV_FORM = /^essiv\(([a-z0-9]+)\(([a-z0-9_]+)\),([a-z0-9-]+)\)$/;

/** The plain spelling of a `capi:` spec, or null where it is none or not of a form that has one. */
export function findPlainSpelling(text: string): string | null {
  const [, algorithm, iv] = CAPI_FORM.exec(text) ?? [];
  if (!algorithm || !iv) return null;
  const mode = MODE_FORM.exec(algorithm);
  if (mode) return `${mode[2]}-${mode[1]}-${iv}`;
  const adiantum = ADIANTUM_FORM.exec(algorithm);
  if (adiantum) return `${adiantum[1]}-adiantum-${iv}`;
  // Since Linux 5.4 ESSIV may be a template of the crypto API, fed with plain64.
  const essiv = ESSIV_FORM.exec(algorithm);
  return essiv && iv === 'plain64' ? `${essiv[2]}-${essiv[1]}-essiv:${essiv[3]}` : null;
}
