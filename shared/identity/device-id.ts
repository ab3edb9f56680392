declare const deviceIdBrand: unique symbol;

/** The ID of a device as people compare it: SHA-256 of its public key in base32 with check characters. */
export type DeviceId = string & { readonly [deviceIdBrand]: true };
