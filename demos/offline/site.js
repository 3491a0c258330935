/** Where the site of the offline edition seems to be: no such host exists, by RFC 2606. */
export const SITE = 'https://offline.invalid/';
