/** Something that a person must look at; `since` is ISO 8601. It stays in `status` until it is over. */
export type Alarm = { code: string; message: string; since: string };
